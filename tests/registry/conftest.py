"""What the tests of the registry share: it on disk and in a bucket, and something to publish."""

import functools
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from botocore import session

from components.registry import bucket_storage, gcs_bucket, validation
from components.registry.bucket_storage import BucketStorage
from components.registry.local_storage import LocalStorage
from components.registry.registry import Registry, Release
from components.registry.state import Validation
from components.registry.storage import Storage
from tests.forked import run_forked
from tests.registry import fake_gcs, s3_server
from tests.registry.fault_proxy import FaultProxy

NAMES = itertools.count()

MakeRelease = Callable[..., Release]


def publish_watched(
    registry: Registry, release: Release, look: Callable[[], Iterable[bool]]
) -> list[bool]:
    """Publishes while another thread looks all the time; returns what it saw, one look at least."""
    looks: list[bool] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            looks.extend(look())

    watcher = threading.Thread(target=watch)
    watcher.start()
    registry.publish(release)
    while not looks:
        done.wait(0.01)
    done.set()
    watcher.join()
    return looks


def assert_sound(registry: Registry) -> int:
    """Checks what holds at any time: versions are whole, the champion is one; returns it."""
    versions = registry.versions()
    assert [registry.verify(version) for version in versions] == [[]] * len(versions)
    champion = registry.champion()
    assert champion is not None
    assert champion.version in versions
    return champion.version


class Service(NamedTuple):
    """A storage service of the tests: a server and what its addresses begin with."""

    scheme: str
    address: str
    environment: dict[str, str]  # by which clients find it
    make_bucket: Callable[[str, str], None]

    @property
    def write(self) -> str:
        """The method by which it is sent a small file."""
        return "POST" if self.scheme == "gs" else "PUT"


def assert_whole(registry: Registry, version: int) -> None:
    assert registry.versions() == [version]
    assert registry.verify(version) == []
    assert registry.storage.leftovers() == {}


@pytest.fixture(scope="session")
def gs() -> Iterator[Service]:
    """A running fake-gcs-server."""
    with fake_gcs.gcs_server() as address:
        yield Service("gs", address, {"STORAGE_EMULATOR_HOST": address}, fake_gcs.make_bucket)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running S3 server, whose clients read Amazon's description of the service once for all."""
    with (
        s3_server.s3_server(tmp_path_factory.mktemp("s3")) as address,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(session, "create_loader", functools.cache(session.create_loader))
        environment = s3_server.CREDENTIALS | {"AWS_ENDPOINT_URL": address}
        yield Service("s3", address, environment, s3_server.make_bucket)


def open_bucket(kind: str, request: pytest.FixtureRequest, patch: pytest.MonkeyPatch) -> str:
    """Makes a bucket on a server, to which this process's clients go; returns its address."""
    service: Service = request.getfixturevalue(kind)
    name = f"models-{next(NAMES)}-{os.getpid()}"
    service.make_bucket(service.address, name)
    for variable, value in service.environment.items():
        patch.setenv(variable, value)
    return f"{service.scheme}://{name}"


@pytest.fixture(params=["gs", "s3"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty bucket of each kind."""
    return open_bucket(request.param, request, monkeypatch)


@pytest.fixture
def service(request: pytest.FixtureRequest, bucket: str) -> Service:
    """The service that the bucket is of."""
    found: Service = request.getfixturevalue(bucket.partition("://")[0])
    return found


@pytest.fixture
def proxy(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy before the bucket's server, through which this process's clients go."""
    proxy = FaultProxy(service.address)
    for variable, value in service.environment.items():
        if value == service.address:
            monkeypatch.setenv(variable, proxy.address)
    yield proxy
    proxy.close()


@pytest.fixture
def proxied_registry(proxy: FaultProxy, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An empty registry in a bucket behind the proxy, less patient than usual."""
    monkeypatch.setattr(bucket_storage, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(bucket_storage, "LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(gcs_bucket, "RESUME", gcs_bucket.RESUME.with_delay(0.02, 0.2, 2))
    return Registry.open(f"{bucket}/registry", "digits")


@pytest.fixture(params=["directory", "gs", "s3"])
def destination(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """An empty registry's destination, on disk and in a bucket of each kind."""
    if request.param == "directory":
        return str(tmp_path / "registry")
    return f"{open_bucket(request.param, request, monkeypatch)}/registry"


# What each storage calls to make a version visible: a test has a push killed just before.
MAKES_VISIBLE: dict[type[Storage], tuple[type, str]] = {
    LocalStorage: (Path, "rename"),
    BucketStorage: (BucketStorage, "_make_visible"),
}


@pytest.fixture
def registry(destination: str) -> Registry:
    """An empty registry."""
    return Registry.open(destination, "digits")


@pytest.fixture
def make_release(tmp_path: Path) -> MakeRelease:
    """Makes something to publish: files in the shape of a SavedModel, of the given content."""

    def make(run_id: str, content: str = "", files: int = 3, size: int = 1_000) -> Release:
        content = content or run_id
        directory = tmp_path / f"release-{next(NAMES)}"
        (directory / "variables").mkdir(parents=True)
        names = ["saved_model.pb", "model.json", "evaluation.json"]
        names += [f"variables/part-{number}" for number in range(files)]
        for name in names:
            text = f"{content} {name} ".encode()
            (directory / name).write_bytes((text * (size // len(text) + 1))[:size])
        return Release(
            run_id=run_id,
            model_sha256=f"sha256 of {content}",
            precision_at_1=0.98,
            validation=Validation(
                samples=100, largest_difference=0.0, latency_ms={1: 0.3, 100: 0.6}, size_bytes=size
            ),
            files={name: directory / name for name in names},
        )

    return make


@pytest.fixture
def forked_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the fresh process that proves a model be forked, see :mod:`tests.forked`."""

    def start(module: str, arguments: Sequence[str]) -> validation._Ended:
        ended = run_forked("-m", module, *arguments, environment=validation.QUIET)
        return validation._Ended(ended.returncode, ended.stdout, ended.stderr)

    monkeypatch.setattr(validation, "_start", start)
