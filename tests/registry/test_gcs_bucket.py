"""What goes wrong between a push and a bucket, made to happen against a real server."""

import http.server
import json
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud import storage

from components.registry import bucket_storage, gcs_bucket
from components.registry.registry import Registry
from components.shared.errors import StepError
from tests.registry.conftest import MakeRelease
from tests.registry.fake_gcs import Fault, FaultProxy, objects

CUT, ANSWER_LOST = Fault(), Fault(after=True)


MIB = 1 << 20


@pytest.fixture
def registry(proxy: FaultProxy, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An empty registry in a bucket behind the proxy, less patient than usual."""
    monkeypatch.setattr(bucket_storage, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(bucket_storage, "LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(gcs_bucket, "RESUME", gcs_bucket.RESUME.with_delay(0.02, 0.2, 2))
    return Registry.open(f"gs://{bucket}/registry", "digits")


def assert_whole(registry: Registry, version: int) -> None:
    assert registry.versions() == [version]
    assert registry.verify(version) == []
    assert registry.storage.leftovers() == {}


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


def test_a_large_file_goes_on_after_a_cut_from_the_chunk_it_reached(
    registry: Registry,
    proxy: FaultProxy,
    make_release: MakeRelease,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gcs_bucket, "CHUNK", MIB)
    release = make_release("a", files=1)
    release.files["variables/part-0"].write_bytes(bytes(12 * MIB))
    chunks = 0

    def rule(method: str, path: str) -> Fault | None:
        nonlocal chunks
        chunks += method == "PUT"
        return CUT if method == "PUT" and chunks == 7 else None

    proxy.rule = rule
    registry.publish(release)
    assert_whole(registry, 1)
    assert 12 < chunks <= 15  # its chunks, the one that was cut, and the question where to go on


def test_an_interrupted_push_sends_only_what_is_missing(
    registry: Registry, proxy: FaultProxy, make_release: MakeRelease
) -> None:
    release = make_release("a", files=6)
    sent = iter(range(100))

    def uploads() -> list[str]:
        return [path for method, path, fault in proxy.seen if "/upload/" in path and not fault]

    proxy.rule = lambda method, path: (
        Fault(403) if "/upload/" in path and method == "POST" and next(sent) > 4 else None
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
    registry: Registry, proxy: FaultProxy, gcs_server: str, make_release: MakeRelease, bucket: str
) -> None:
    registry.advance(registry.publish(make_release("a")))
    for run in ("b", "c"):
        registry.publish(make_release(run))
    others = iter([3])

    def rule(method: str, path: str) -> Fault | None:
        # Just as champion.json is to be replaced, somebody else promotes another version.
        if method == "POST" and "ifGenerationMatch" in path:
            for version in others:
                _write(
                    gcs_server,
                    bucket,
                    "registry/digits/champion.json",
                    {"version": version, "previous": [1], "highest": 3},
                )
        return None

    proxy.rule = rule
    assert registry.advance(2).version == 3  # a later one: it stays
    champion = registry.champion()
    assert champion is not None
    assert champion.previous == (1,)


def _write(server: str, bucket: str, name: str, content: dict) -> None:
    url = f"{server}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}"
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(content).encode())).close()


def test_a_rollback_whose_answer_got_lost_is_not_done_twice(
    registry: Registry, proxy: FaultProxy, make_release: MakeRelease
) -> None:
    for run in ("a", "b", "c"):
        registry.advance(registry.publish(make_release(run)))
    lost = iter([ANSWER_LOST])
    proxy.rule = lambda method, path: next(lost, None) if method == "POST" else None
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
    with pytest.raises(StepError, match=r"^gs://[^\n]*(503|cannot be reached)[^\n]*$"):
        registry.publish(make_release("b"))
    proxy.rule = lambda method, path: None
    assert_whole(registry, 1)


def test_no_permission_changes_nothing(
    registry: Registry, proxy: FaultProxy, make_release: MakeRelease
) -> None:
    registry.advance(registry.publish(make_release("a")))
    proxy.rule = lambda method, path: Fault(403) if method != "GET" else None
    with pytest.raises(StepError, match=r"permission denied \(403\).*storage\.objectUser"):
        registry.publish(make_release("b"))
    assert_whole(registry, 1)


def test_a_missing_bucket_is_named(proxy: FaultProxy, make_release: MakeRelease) -> None:
    registry = Registry.open("gs://no-such-bucket/registry", "digits")
    with pytest.raises(StepError, match="gs://no-such-bucket: not found; create the bucket"):
        registry.publish(make_release("a"))


def test_a_flipped_bit_is_found(registry: Registry, make_release: MakeRelease, bucket: str) -> None:
    registry.publish(make_release("a"))
    blob = storage.Client().bucket(bucket).blob("registry/digits/1/variables/part-0")
    data = blob.download_as_bytes()
    blob.upload_from_string(data[:100] + bytes([data[100] ^ 8]) + data[101:])
    [problem] = registry.verify(1)
    assert problem.startswith("variables/part-0: sha256")


def test_an_object_name_cannot_lead_out_of_the_cache(
    registry: Registry, make_release: MakeRelease, bucket: str, tmp_path: Path
) -> None:
    registry.publish(make_release("a"))
    blob = storage.Client().bucket(bucket).blob("registry/digits/1/../../../../escaped")
    blob.upload_from_string(b"")
    with pytest.raises(StepError, match="not a file name for a registry"):
        registry.fetch(1, tmp_path / "deep" / "cache")
    assert not list(tmp_path.rglob("escaped"))


def test_tensorflow_serving_never_finds_a_model_without_its_files(
    registry: Registry, gcs_server: str, make_release: MakeRelease, bucket: str
) -> None:
    release = make_release("a", files=12)
    expected = {f"registry/digits/1/{name}" for name in release.files}
    looks: list[bool] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            found = set(objects(gcs_server, bucket))
            if "registry/digits/1/saved_model.pb" in found:
                looks.append(expected <= found)

    watcher = threading.Thread(target=watch)
    watcher.start()
    registry.publish(release)
    while not looks:
        done.wait(0.01)
    done.set()
    watcher.join()
    assert all(looks)


class _Refusing(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"error": "invalid_grant"})
        self.send_response(401)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def token_server() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/token"
    server.shutdown()
    server.server_close()


def test_refused_credentials_reach_no_output(
    token_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = _service_account(token_server)
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    caplog.set_level("DEBUG")
    with pytest.raises(StepError, match="no usable Application Default Credentials") as caught:
        Registry.open("gs://some-bucket", "digits").versions()
    printed = capsys.readouterr()
    said = str(caught.value) + printed.out + printed.err + caplog.text
    for secret in (key["private_key"][40:80], key["private_key_id"]):
        assert secret not in said


def test_no_credentials_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    with pytest.raises(StepError, match="gcloud auth application-default login"):
        Registry.open("gs://some-bucket", "digits").versions()


def _service_account(token_uri: str) -> dict[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "project_id": "test",
        "private_key_id": "id-of-the-private-key",
        "private_key": private.decode(),
        "client_email": "push@test.iam.gserviceaccount.com",
        "token_uri": token_uri,
    }
