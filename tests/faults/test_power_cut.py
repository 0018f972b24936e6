"""What was not fsynced may be gone after a power cut: the old or the new stands, whole.

And once a step or a command has said that it is done, the new does. Each is recorded once; what a
disk may then hold is written into an empty directory, for the product's readers to look at.
"""

import ast
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from components.registry import local_storage
from components.shared import storage
from components.shared.errors import StepError
from tests.faults import system_calls
from tests.faults.power_cut import Record, Trace, write_tree
from tests.faults.subjects import NAMES, SUBJECTS, Scene
from tests.seeds import seeded

SUBSETS = int(os.environ.get("SUBSETS", "3"))  # of what is lost, drawn at each moment

pytestmark = pytest.mark.skipif(not system_calls.SUPPORTED, reason="needs Linux on x86-64")

Look = Callable[[Path], Any]


def problems(record: Record, look: Look, allowed: list[Any], directory: Path) -> Iterator[str]:
    """Yields what is wrong with what may be found after a power cut.

    Args:
        record: The run.
        look: Reads what stands, and raises where that is not whole.
        allowed: What may stand; the last once the run is over.
        directory: An empty one.
    """
    for number, (over, tree) in enumerate(Trace(record).disks(seeded(), SUBSETS), 1):
        place = directory / str(number)
        place.mkdir(parents=True)
        write_tree(tree, place)
        try:
            found = look(place)
        except (AssertionError, OSError, StepError) as error:
            yield f"of {sorted(tree)}: {error}"
        else:
            if found not in (allowed[-1:] if over else allowed):
                yield f"{'done, but ' * over}{found} is found of {sorted(tree)}"
        shutil.rmtree(place)


# Of these, each fsync is needed by one at least.
QUICK = ("a directory", "registry report", "publish", "registry prune")


@pytest.mark.parametrize("name", NAMES)
def test_the_old_or_the_new_stands(name: str, scene: Scene, memory: Path) -> None:
    subject = SUBJECTS[name]
    old = scene.prepare(subject)
    ended, record = scene.run(subject.command)
    assert ended.code == 0, ended.errors
    allowed = [old, *subject.on_the_way, subject.look(scene.root)]
    found = list(problems(record, subject.look, allowed, memory / "disks"))
    print(f"{name}: {len(record.events)} calls")
    assert not found, f"{len(found)}, the first: {found[0]}"


def test_each_fsync_is_needed(scenes: Callable[[], Scene], memory: Path) -> None:
    needless = set(fsyncs())
    assert len(needless) > 8
    for name in QUICK:
        subject, scene = SUBJECTS[name], scenes()
        old = scene.prepare(subject)
        ended, _ = scene.run(subject.command)
        allowed = [old, *subject.on_the_way, subject.look(scene.root)]
        for left_out in sorted(needless):
            scene.reset()
            ended, record = scene.run(subject.command, left_out=left_out)
            assert ended.code == 0, ended.errors
            with TemporaryDirectory(dir=memory) as disks:
                if any(problems(record, subject.look, allowed, Path(disks))):
                    needless.remove(left_out)
    assert not needless


def fsyncs() -> Iterator[tuple[str, int]]:
    """Yields every place where the code waits for the disk: file and line."""
    for module in (storage, local_storage):
        assert module.__file__
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            if isinstance(node, ast.Call) and "fsync" in ast.unparse(node.func):
                yield module.__file__, node.lineno
