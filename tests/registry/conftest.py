"""What the tests of the registry share: it on disk and in a bucket, and something to publish."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.registry.bucket_storage import BucketStorage
from components.registry.local_storage import LocalStorage
from components.registry.registry import Registry, Release
from components.registry.state import Validation
from components.registry.storage import Storage
from tests.registry.fake_gcs import FaultProxy, find_server, make_bucket, running_server
from tests.services import unavailable

NAMES = itertools.count()

MakeRelease = Callable[..., Release]


def assert_sound(registry: Registry) -> int:
    """Checks what holds at any time: versions are whole, the champion is one; returns it."""
    versions = registry.versions()
    assert [registry.verify(version) for version in versions] == [[]] * len(versions)
    champion = registry.champion()
    assert champion is not None
    assert champion.version in versions
    return champion.version


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[str]:
    """The address of a running fake-gcs-server."""
    executable = find_server()
    if executable is None:
        unavailable("fake-gcs-server", "fake-gcs-server")
    with running_server(executable) as address:
        yield address


@pytest.fixture
def proxy(gcs_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy before the server, through which this process's client goes."""
    proxy = FaultProxy(gcs_server)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.address)
    yield proxy
    proxy.close()


@pytest.fixture
def bucket(gcs_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an empty bucket on the server."""
    name = f"models-{next(NAMES)}-{os.getpid()}"
    make_bucket(gcs_server, name)
    if "STORAGE_EMULATOR_HOST" not in os.environ:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server)
    return name


@pytest.fixture(params=["directory", "bucket"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty registry's destination, once on disk and once in a bucket."""
    if request.param == "directory":
        return str(tmp_path / "registry")
    return f"gs://{request.getfixturevalue('bucket')}/registry"


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
