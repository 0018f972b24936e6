"""An output appears whole or not at all, whoever else writes there and whenever a run is killed."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from components.shared.errors import StepError, explain
from components.shared.storage import atomic_directory, write_text
from tests.conftest import ROOT

MARKER = "dataset.json"

# Fills argv[1], and kills itself before the call number argv[2] of those that change names.
DYING = """
import os, signal, sys
from pathlib import Path
from components.shared.storage import atomic_directory

calls = 0

def dying(change):
    def replacement(*arguments, **named):
        global calls
        calls += 1
        if calls == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return change(*arguments, **named)
    return replacement

for name in ("rename", "mkdir", "unlink", "rmdir"):
    setattr(os, name, dying(getattr(os, name)))
with atomic_directory(Path(sys.argv[1]), "dataset.json") as directory:
    (directory / "part").write_text("new")
    (directory / "dataset.json").write_text("new")
"""


def _write(output: Path, text: str = "new") -> None:
    with atomic_directory(output, MARKER) as directory:
        (directory / "part").write_text(text)
        (directory / MARKER).write_text(text)


def _read(output: Path) -> list[str] | None:
    return [path.read_text() for path in sorted(output.iterdir())] if output.exists() else None


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_nothing_lies_beside_what_is_written(tmp_path: Path) -> None:
    for _ in range(2):
        _write(tmp_path / "out")
        assert _names(tmp_path) == ["out"]


def test_a_failed_run_leaves_what_was_there(tmp_path: Path) -> None:
    _write(tmp_path / "out", "old")
    with pytest.raises(ZeroDivisionError), atomic_directory(tmp_path / "out", MARKER) as directory:
        (directory / "part").write_text(str(1 / 0))
    assert _names(tmp_path) == ["out"] and _read(tmp_path / "out") == ["old", "old"]


@pytest.mark.parametrize(("earlier", "deleted"), [(True, False), (True, True), (False, False)])
def test_killed_between_any_two_steps(tmp_path: Path, earlier: bool, deleted: bool) -> None:
    killed = 0
    while True:
        output = tmp_path / str(killed) / "out"
        output.parent.mkdir()
        if earlier:
            _write(output, "old")
        arguments = [sys.executable, "-c", DYING, str(output), str(killed + 1)]
        if subprocess.run(arguments, cwd=ROOT, check=False).returncode == 0:
            break
        killed += 1
        left = _read(output)
        assert left in (["old"] * 2 if earlier else None, ["new"] * 2, None)
        if deleted and output.exists():  # a person starts anew
            shutil.rmtree(output)
        # The next run fails, and a result that is no other's is there again.
        with pytest.raises(ZeroDivisionError), atomic_directory(output, MARKER):
            _ = 1 / 0
        whole = [["old"] * 2, ["new"] * 2]
        assert _read(output) in (whole if earlier and not deleted else [None, *whole])
        _write(output, "next")
        assert _read(output) == ["next"] * 2
        assert _names(output.parent) == ["out"]
    assert killed >= (4 if earlier else 2)


@pytest.mark.parametrize("suffix", [".replaced", ".partial-abc123", ".partial", ".replaced-x"])
def test_leftovers_are_found_by_name(tmp_path: Path, suffix: str) -> None:
    _write(tmp_path / "out", "old")
    (tmp_path / f".out{suffix}").mkdir()
    (tmp_path / f".out{suffix}" / MARKER).write_text("left")
    (tmp_path / ".outer.partial").mkdir()
    _write(tmp_path / "out")
    assert _read(tmp_path / "out") == ["new", "new"]
    assert _names(tmp_path) == [".outer.partial", "out"]


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "out", MARKER) as first:
        (first / MARKER).write_text("first")
        with pytest.raises(StepError, match="out: another run writes to it"):
            _write(tmp_path / "out")
        assert first.exists()
    assert (tmp_path / "out" / MARKER).read_text() == "first"
    _write(tmp_path / "out")


def test_a_link_is_filled_where_it_points(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "out").symlink_to(disk / "data")
    for text in ("old", "new"):
        _write(tmp_path / "out", text)
        assert (tmp_path / "out").is_symlink() and _read(disk / "data") == [text, text]
    assert _names(disk) == ["data"]


def _file(tmp_path: Path) -> Path:
    (tmp_path / "out").write_text("mine")
    return tmp_path / "out"


def _foreign(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    return tmp_path / "out"


REFUSED: dict[str, Callable[[Path], Path]] = {
    "is a file, expected a directory": _file,
    "holds files but no dataset.json": _foreign,
    "is the current directory": lambda _: Path(),
    "or one above it": lambda _: Path.cwd().parent,
    "a disk is mounted there": lambda _: Path("/proc"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_replaced_is_refused_before_the_work(tmp_path: Path, why: str) -> None:
    output = REFUSED[why](tmp_path)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(StepError, match=why), atomic_directory(output, MARKER):
        pytest.fail("the work began")
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["n" * 245, "n" * 300, "file/out", "loop/out"])
def test_what_the_system_refuses_is_known_before_the_work(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError) as caught, atomic_directory(tmp_path / name, MARKER):
        pytest.fail("the work began")
    assert str(tmp_path / name.partition("/")[0]) in explain(caught.value)


@pytest.mark.parametrize("name", ["a**b", "[x]", "n" * 200, "with space", "ä", "a.b.c", ".hidden"])
def test_any_other_name_will_do(tmp_path: Path, name: str) -> None:
    for _ in range(2):
        _write(tmp_path / name)
    assert _names(tmp_path) == [name]


def test_a_text_that_cannot_be_written_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text").write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="text") as caught:
        write_text(tmp_path / "text", "new")
    assert caught.value.errno == errno.ENOSPC
    assert _names(tmp_path) == ["text"] and (tmp_path / "text").read_text() == "old"
