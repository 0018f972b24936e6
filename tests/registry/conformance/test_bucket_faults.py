"""What goes wrong between a registry and a bucket, before a real server of each kind."""

import json

import pytest
from pyarrow import fs

from components.registry import bucket_storage, gcs_bucket
from components.registry.open_storage import open_storage
from components.registry.registry import Registry
from components.shared.errors import StepError
from components.sources.filesystem import open_directory
from tests.registry.conftest import MakeRelease, Service, assert_whole, publish_watched
from tests.registry.fault_proxy import Fault, FaultProxy

CUT, ANSWER_LOST = Fault(), Fault(after=True)


@pytest.fixture
def registry(proxied_registry: Registry) -> Registry:
    """The one behind the proxy."""
    return proxied_registry


@pytest.mark.parametrize(
    "fault",
    [Fault(429), Fault(503), Fault(500), CUT, ANSWER_LOST],
    ids=["429", "503", "500", "connection cut midway", "answer lost"],
)
def test_every_request_failing_once_is_tried_again(
    registry: Registry, proxy: FaultProxy, make_release: MakeRelease, fault: Fault
) -> None:
    met: set[str] = set()

    def rule(method: str, path: str) -> Fault | None:
        request = f"{method} {path.partition('pageToken')[0]}"
        if request in met or len(met) > 12:
            return None
        met.add(request)
        return fault

    proxy.rule = rule
    registry.advance(registry.publish(make_release("a", files=2)))
    proxy.rule = lambda method, path: None
    assert_whole(registry, 1)
    champion = registry.champion()
    assert champion is not None
    assert champion.version == 1
    assert len(met) > 5


def test_an_interrupted_push_sends_only_what_is_missing(
    registry: Registry, proxy: FaultProxy, service: Service, make_release: MakeRelease
) -> None:
    release = make_release("a", files=6)
    sent = iter(range(100))
    place = "/upload/" if service.scheme == "gs" else "/.staging/"

    def uploads() -> list[str]:
        return [
            path
            for method, path, fault in proxy.seen
            if method == service.write and place in path and not fault
        ]

    proxy.rule = lambda method, path: (
        Fault(403) if method == service.write and place in path and next(sent) > 4 else None
    )
    with pytest.raises(StepError, match="permission denied"):
        registry.publish(release)
    done = len(uploads())
    assert registry.versions() == []
    proxy.seen.clear()
    proxy.rule = lambda method, path: None
    assert registry.publish(release) == 1
    assert len(uploads()) < len(release.files) + 2 - (done - 2)
    assert_whole(registry, 1)


def test_a_precondition_lost_to_somebody_else_is_tried_anew(
    registry: Registry,
    proxy: FaultProxy,
    service: Service,
    make_release: MakeRelease,
    bucket: str,
) -> None:
    registry.advance(registry.publish(make_release("a")))
    for run in ("b", "c"):
        registry.publish(make_release(run))
    others = iter([3])

    def rule(method: str, path: str) -> Fault | None:
        # Just as champion.json is to be replaced, somebody else promotes another version.
        if method == service.write:
            for version in others:
                champion = {"version": version, "previous": [1], "highest": 3}
                other = open_storage(f"{bucket}/registry", "digits")
                found = other.read("champion.json").generation
                other.replace("champion.json", json.dumps(champion).encode(), found)
        return None

    proxy.rule = rule
    assert registry.advance(2).version == 3  # a later one: it stays
    champion = registry.champion()
    assert champion is not None
    assert champion.previous == (1,)


def test_a_rollback_whose_answer_got_lost_is_not_done_twice(
    registry: Registry, proxy: FaultProxy, service: Service, make_release: MakeRelease
) -> None:
    for run in ("a", "b", "c"):
        registry.advance(registry.publish(make_release(run)))
    lost = iter([ANSWER_LOST])
    proxy.rule = lambda method, path: next(lost, None) if method == service.write else None
    assert registry.rollback().version == 2
    champion = registry.champion()
    assert champion is not None
    assert champion.version == 2


def test_a_server_that_stays_down_is_told_in_one_line(
    registry: Registry,
    proxy: FaultProxy,
    make_release: MakeRelease,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry.advance(registry.publish(make_release("a")))
    monkeypatch.setattr(bucket_storage, "RETRY_SECONDS", 1)
    monkeypatch.setattr(gcs_bucket, "RESUME", gcs_bucket.RESUME.with_timeout(1))
    proxy.rule = lambda method, path: Fault(503)
    with pytest.raises(StepError, match=r"^(gs|s3)://[^\n]*(503|cannot be reached)[^\n]*$"):
        registry.publish(make_release("b"))
    proxy.rule = lambda method, path: None
    assert_whole(registry, 1)


def test_no_permission_changes_nothing(
    registry: Registry, proxy: FaultProxy, make_release: MakeRelease
) -> None:
    registry.advance(registry.publish(make_release("a")))
    proxy.rule = lambda method, path: Fault(403) if method not in ("GET", "HEAD") else None
    with pytest.raises(StepError, match=r"permission denied \(403\).*need (roles/storage|s3:)"):
        registry.publish(make_release("b"))
    assert_whole(registry, 1)


def test_a_missing_bucket_is_named(service: Service, make_release: MakeRelease) -> None:
    missing = f"{service.scheme}://no-such-bucket"
    registry = Registry.open(f"{missing}/registry", "digits")
    with pytest.raises(StepError, match=f"{missing}: not found; create the bucket"):
        registry.publish(make_release("a"))


def test_a_flipped_bit_is_found(registry: Registry, make_release: MakeRelease) -> None:
    registry.publish(make_release("a"))
    name = "1/variables/part-0"
    data, generation = registry.storage.read(name)
    assert data is not None
    registry.storage.replace(name, data[:100] + bytes([data[100] ^ 8]) + data[101:], generation)
    [problem] = registry.verify(1)
    assert problem.startswith("variables/part-0: sha256")


def test_tensorflow_serving_never_finds_a_model_without_its_files(
    registry: Registry, make_release: MakeRelease, bucket: str
) -> None:
    release = make_release("a", files=12)
    expected = {f"1/{name}" for name in release.files}
    there = open_directory(f"{bucket}/registry/digits")
    everything = fs.FileSelector("", recursive=True, allow_not_found=True)

    def look() -> list[bool]:
        found = {info.path for info in there.get_file_info(everything)}
        return [expected <= found] if "1/saved_model.pb" in found else []

    assert all(publish_watched(registry, release, look))
