"""A version goes from one registry to another, into a storage of each kind, whole and once."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from components.config import Push
from components.registry import copy as copying
from components.registry.copy import copy_version
from components.registry.registry import Registry
from components.registry.state import Validation
from components.shared.code import Code
from components.shared.errors import StepError
from components.shared.storage import files_of, sha256_of_saved_model
from tests.conftest import Command
from tests.registry.conformance.test_removal import killed_before, once_before
from tests.registry.conftest import MAKES_VISIBLE, MakeRelease

pytestmark = pytest.mark.usefixtures("forked_validation")


@pytest.fixture
def source(tmp_path: Path) -> Registry:
    """An empty registry to copy from."""
    return Registry.open(str(tmp_path / "source"), "digits")


@pytest.fixture
def proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes every model for one that answers, so that a release need not be one."""
    found = Validation(samples=1, largest_difference=0, latency_ms={1: 1.0}, size_bytes=1)
    monkeypatch.setattr(copying, "validate", lambda *_: found)


def test_a_copy_is_proved_and_keeps_where_it_came_from(
    source: Registry,
    registry: Registry,
    destination: str,
    model: Path,
    evaluation: Path,
    make_release: MakeRelease,
    command: Command,
) -> None:
    registry.publish(make_release("another"))
    files = {**files_of(model / "saved_model"), "samples.npz": evaluation / "samples.npz"}
    release = make_release("run-7")._replace(
        model_sha256=sha256_of_saved_model(model / "saved_model"),
        files=files,
        code=Code("0.2.0", "0123456789abcdef", False),
    )
    assert source.publish(release) == 1
    place = ("--destination", source.location.removesuffix("/digits"))
    output = command("components.registry", "copy", 1, *place, "--to", destination).stdout
    assert registry.versions() == [1, 2] and registry.verify(2) == []
    assert registry.champion() is None
    copied, original = registry.manifest(2), source.manifest(1)
    assert copied.copied_from == f"{source.location}/1"
    assert (copied.run_id, copied.code, copied.files) == ("run-7", original.code, original.files)
    assert copied.validation.samples == 100 and copied.validation.largest_difference < 1e-4

    again = command("components.registry", "copy", 1, *place, "--to", destination).stdout
    assert "Version 2 holds this model already" in again
    assert registry.versions() == [1, 2]
    promotion = output.splitlines()[-1].partition(": ")[2]
    assert again.splitlines()[-1].endswith(promotion)
    command(*shlex.split(promotion)[2:])
    assert registry.in_use() == 2


def test_a_model_that_answers_otherwise_is_not_copied(
    source: Registry,
    registry: Registry,
    model: Path,
    evaluation: Path,
    tmp_path: Path,
    make_release: MakeRelease,
) -> None:
    with np.load(evaluation / "samples.npz") as samples:
        np.savez(
            tmp_path / "samples.npz",
            images=samples["images"],
            probabilities=np.roll(samples["probabilities"], 1, axis=1),
        )
    files = {**files_of(model / "saved_model"), "samples.npz": tmp_path / "samples.npz"}
    source.publish(make_release("a")._replace(files=files))
    with pytest.raises(StepError, match="answers differ by up to"):
        copy_version(source, 1, registry, Push())
    assert registry.versions() == []


def test_what_is_not_a_model_is_not_copied(
    source: Registry, registry: Registry, make_release: MakeRelease
) -> None:
    source.publish(make_release("a"))
    with pytest.raises(StepError, match="does not load"):
        copy_version(source, 1, registry, Push())
    assert registry.versions() == []


@pytest.mark.usefixtures("proved")
def test_a_copy_killed_before_it_appears_appears_once(
    source: Registry,
    registry: Registry,
    make_release: MakeRelease,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source.publish(make_release("a"))
    owner, method = MAKES_VISIBLE[type(registry.storage)]
    with monkeypatch.context() as patch:  # a kill clears nothing up
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        killed_before(patch, owner, method, lambda: copy_version(source, 1, registry, Push()))
    assert registry.versions() == [] and registry.storage.leftovers()
    assert copy_version(source, 1, registry, Push()) == 1
    assert copy_version(source, 1, registry, Push()) == 1
    assert registry.versions() == [1] and registry.verify(1) == []


@pytest.mark.usefixtures("proved")
def test_a_copy_of_a_copy_names_the_first_registry(
    source: Registry, registry: Registry, tmp_path: Path, make_release: MakeRelease
) -> None:
    source.publish(make_release("a"))
    copy_version(source, 1, registry, Push())
    production = Registry.open(str(tmp_path / "production"), "digits")
    copy_version(registry, 1, production, Push())
    assert production.manifest(1).copied_from == f"{source.location}/1"
    assert production.manifest(1).files == source.manifest(1).files


@pytest.mark.usefixtures("proved")
@pytest.mark.parametrize("moment", ["before", "between"])
def test_a_damaged_version_is_not_copied(
    source: Registry,
    registry: Registry,
    make_release: MakeRelease,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """Before it is read through, and between that and the sending."""
    source.publish(make_release("a"))
    path = Path(source.location) / "1" / "variables" / "part-0"

    def flip() -> None:
        data = path.read_bytes()
        path.write_bytes(data[:9] + bytes([data[9] ^ 1]) + data[10:])

    if moment == "before":
        flip()
    else:
        once_before(monkeypatch, type(registry.storage), "publish", flip)
    with pytest.raises(StepError, match=r"part-0: (sha256|changed while it was published)"):
        copy_version(source, 1, registry, Push())
    assert registry.versions() == []


@pytest.mark.usefixtures("proved")
def test_a_manifest_of_an_earlier_release_is_copied(
    source: Registry, registry: Registry, make_release: MakeRelease
) -> None:
    source.publish(make_release("a"))
    path = Path(source.location) / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["copied_from"]
    path.write_text(json.dumps(manifest))
    assert copy_version(source, 1, registry, Push()) == 1
