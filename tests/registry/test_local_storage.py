"""What goes wrong between a push and a disk, made to happen on a real one."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.registry.registry import Registry
from components.registry.storage import Digest, Part
from components.shared.errors import StepError
from tests.conftest import ROOT
from tests.registry.conftest import MakeRelease, publish_watched
from tests.registry.publisher import write_release


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.open(str(tmp_path / "registry"), "digits")


def test_a_full_disk_changes_nothing(make_release: MakeRelease, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    release = make_release("b", files=8, size=64 * 1024)
    prepared = write_release(release, tmp_path / "release.json")
    mount = f"mount -t tmpfs -o size=256k tmpfs {disk}"
    trial = subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False)
    if trial.returncode:
        pytest.skip(f"no file system of our own can be mounted here: {trial.stderr.decode()}")
    small = write_release(make_release("a", files=1), tmp_path / "small.json")
    push = f"{sys.executable} -m tests.registry.publisher {disk}/registry"
    verify = f"{sys.executable} -m components.registry verify --destination {disk}/registry"
    script = f"{mount} && {push} {small} && {push} {prepared}; echo exit $?; {verify}; find {disk}"
    process = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "No space left on device; make room" in process.stderr
    assert "exit 1" in process.stdout
    assert "whole" in process.stdout
    left = [line for line in process.stdout.splitlines() if f"{disk}/registry/digits/" in line]
    assert f"{disk}/registry/digits/1" in left
    assert not any("/digits/2" in line or "/.staging/" in line for line in left)


def test_no_permission_is_told_in_one_line(make_release: MakeRelease) -> None:
    registry = Registry.open("/sys/registry", "digits")  # where not even root may write
    with pytest.raises(StepError, match=r"^/sys/registry.*(permitted|denied).*change who may$"):
        registry.publish(make_release("a"))


def test_a_file_in_the_way_is_named(tmp_path: Path, make_release: MakeRelease) -> None:
    (tmp_path / "registry").write_text("")
    with pytest.raises(StepError, match=r"registry.*Not a directory"):
        Registry.open(str(tmp_path / "registry"), "digits").publish(make_release("a"))


def test_a_source_that_changed_since_its_digest_is_not_published(
    registry: Registry, tmp_path: Path
) -> None:
    source = tmp_path / "saved_model.pb"
    source.write_bytes(b"now")
    part = Part(source, Digest.of(io.BytesIO(b"before")))
    with pytest.raises(StepError, match="changed while it was published"):
        registry.storage.publish(1, {"saved_model.pb": part})
    assert registry.versions() == []
    assert registry.storage.leftovers() == {}


def test_a_watcher_never_sees_a_partial_version(
    registry: Registry, make_release: MakeRelease, tmp_path: Path
) -> None:
    root = tmp_path / "registry" / "digits"
    release = make_release("a", files=30)

    def look() -> Iterator[bool]:  # as TensorFlow Serving does: any directory that is a number
        for directory in root.glob("[0-9]*"):
            yield all((directory / name).is_file() for name in release.files)

    assert all(publish_watched(registry, release, look))
