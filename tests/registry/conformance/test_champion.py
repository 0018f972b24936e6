"""``champion.json`` names what is there, whatever somebody did to it or to the versions."""

import json
import shutil
from pathlib import Path

import pytest

from components.registry.registry import Registry, champion_saved_model
from components.shared.errors import StepError
from tests.conftest import Command
from tests.registry.conftest import MakeRelease

ON_DISK = pytest.mark.parametrize("destination", ["directory"], indirect=True)


@pytest.fixture
def filled(registry: Registry, make_release: MakeRelease) -> Registry:
    """Three versions, the last of them champion."""
    for run in ("a", "b", "c"):
        registry.advance(registry.publish(make_release(run)))
    return registry


def put(registry: Registry, **champion: object) -> None:
    """Writes a champion file as somebody with an editor would."""
    generation = registry.storage.read("champion.json").generation
    registry.storage.replace("champion.json", json.dumps(champion).encode(), generation)


def in_use(registry: Registry) -> int:
    version = registry.in_use()
    assert version is not None
    return version


@ON_DISK
def test_a_rollback_skips_what_is_not_there(filled: Registry, destination: str) -> None:
    shutil.rmtree(Path(destination) / "digits" / "2")
    assert filled.rollback().version == in_use(filled) == 1


@ON_DISK
def test_a_rollback_to_nothing_names_what_could_be_promoted(
    filled: Registry, destination: str
) -> None:
    for version in ("1", "2"):
        shutil.rmtree(Path(destination) / "digits" / version)
    with pytest.raises(StepError, match="no earlier champion to go back to; promote one of: 3"):
        filled.rollback()
    assert in_use(filled) == 3


def test_the_next_push_is_champion_whatever_number_was_written_before(
    filled: Registry, make_release: MakeRelease
) -> None:
    for broken in ({"version": 99}, {"version": 3, "highest": 99}, {"version": 99, "highest": 99}):
        put(filled, **broken)
        version = filled.publish(make_release(str(broken)))
        assert filled.advance(version).version == version == in_use(filled)


def test_a_champion_that_is_not_there_is_told_by_who_needs_it(
    filled: Registry, destination: str, tmp_path: Path
) -> None:
    put(filled, version=99, previous=[1])
    told = "names version 99, which is not there; roll back, or promote one of: 1, 2, 3"
    with pytest.raises(StepError, match=told):
        filled.in_use()
    with pytest.raises(StepError, match=told):
        champion_saved_model(destination, "digits", tmp_path)
    with pytest.raises(StepError, match=told):
        filled.removable(keep=1, grace=0)
    assert filled.rollback().version == 1


@pytest.mark.parametrize("version", [-1, 0, 10**18, 10**400, "x", None, 1.5])
def test_a_number_out_of_bounds_is_named_and_said_how_to_mend(
    filled: Registry, version: object
) -> None:
    put(filled, version=version)
    with pytest.raises(StepError, match=r"champion\.json: .*; remove it and promote a version$"):
        filled.champion()


@ON_DISK
def test_the_file_removed_and_a_version_promoted_mends_it(
    filled: Registry, destination: str
) -> None:
    (Path(destination) / "digits" / "champion.json").unlink()
    assert filled.promote(2).version == in_use(filled) == 2


def test_a_file_of_an_earlier_release_is_read(filled: Registry) -> None:
    put(filled, version=3, previous=[2, 1], highest=3, retired=[1, 2])
    assert filled.promote(1).version == 1
    data = filled.storage.read("champion.json").data
    assert data is not None
    assert "retired" not in json.loads(data)


def test_the_file_does_not_grow_for_ever(filled: Registry) -> None:
    put(filled, version=3, previous=[1, 2] * 500, highest=3)
    champion = filled.promote(2)
    assert len(champion.previous) == 100


@ON_DISK
@pytest.mark.parametrize(
    "name", ["٣", "\uff13", "007", "+7", "-7", "7 ", "1_0", "10" * 10, "9" * 200, "0", "7.0", "七"]
)
def test_only_plain_numbers_are_versions(filled: Registry, destination: str, name: str) -> None:
    try:
        shutil.copytree(Path(destination) / "digits" / "3", Path(destination) / "digits" / name)
    except OSError:
        pytest.skip("the file system takes no such name")
    assert filled.versions() == [1, 2, 3]


@ON_DISK
def test_no_number_is_left_above_the_highest(
    filled: Registry, destination: str, make_release: MakeRelease
) -> None:
    highest = Path(destination) / "digits" / ("9" * 18)
    highest.mkdir()
    with pytest.raises(StepError, match="no number is left above it; remove it"):
        filled.publish(make_release("d"))
    highest.rmdir()
    assert filled.publish(make_release("d")) == 4


@ON_DISK
@pytest.mark.parametrize("kind", ["directory", "file", "link"])
@pytest.mark.parametrize("claimed", [True, False])
def test_something_else_under_a_number_is_left_alone_and_another_taken(
    filled: Registry, destination: str, make_release: MakeRelease, kind: str, claimed: bool
) -> None:
    if claimed:  # by a push that was killed before it wrote anything
        filled._claim(make_release("d"), "content")
        runs = Path(destination) / "digits" / "runs.json"
        assert json.loads(runs.read_text())["last"] == 4
    other = Path(destination) / "digits" / "4"
    if kind == "directory":
        other.mkdir()
        (other / "notes.txt").write_text("not a model")
    elif kind == "file":
        other.write_text("not a model")
    else:
        other.symlink_to(Path(destination) / "digits" / "3")
    version = filled.publish(make_release("d"))
    assert version == 5
    assert filled.verify(version) == []
    assert filled.advance(version).version == in_use(filled) == 5
    assert other.exists()
    assert filled.publish(make_release("d")) == 5


@pytest.mark.parametrize("damage", ["another model", "no manifest", "a flipped bit", "a lost file"])
@ON_DISK
def test_a_number_counts_as_published_only_where_the_model_lies_there(
    filled: Registry, destination: str, make_release: MakeRelease, damage: str
) -> None:
    directory = Path(destination) / "digits" / "3"
    if damage == "another model":
        shutil.rmtree(directory)
        shutil.copytree(directory.parent / "2", directory)
    elif damage == "no manifest":
        (directory / "manifest.json").unlink()
    elif damage == "a lost file":
        (directory / "variables" / "part-0").unlink()
    else:
        path = directory / "variables" / "part-0"
        path.write_bytes(b"?" + path.read_bytes()[1:])
    assert filled.published_by("c", "sha256 of c") is None
    version = filled.publish(make_release("c"))
    assert version == 4
    assert filled.verify(4) == []
    assert filled.advance(4).version == 4


@ON_DISK
def test_list_says_that_the_champion_is_not_there(
    filled: Registry, destination: str, command: Command
) -> None:
    put(filled, version=99)
    process = command("components.registry", "list", "--destination", destination, expect=1)
    assert "0.98" in process.stdout
    assert "names version 99, which is not there; roll back, or promote" in process.stderr
    command("components.registry", "promote", 3, "--destination", destination)
    assert in_use(filled) == 3
