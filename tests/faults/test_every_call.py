"""Each call by which a step or a command changes the disk fails once, or is its last.

Whatever it was: the old or the new stands, whole; the message is one line; and the next run ends as
one that nothing disturbed. ``FAULTS`` of them are drawn for each subject that is quick. ``make
test-faults`` takes every call of all: each meets every kind of fault, or one that is drawn where a
run takes seconds.
"""

import errno
import itertools
import re
from typing import Any

import pytest

from components.registry.registry import Registry
from pipeline.pipelines import PIPELINES
from tests.faults import system_calls
from tests.faults.subjects import FAULTS, NAMES, SUBJECTS, Scene, Subject, versions
from tests.seeds import seeded

KINDS = (errno.EIO, errno.ENOSPC, 0)  # what a call meets; 0: the end of the process

pytestmark = pytest.mark.skipif(not system_calls.SUPPORTED, reason="needs Linux on x86-64")


def drawn(calls: int, slow: bool) -> list[tuple[int, int]]:
    """Returns which calls meet what."""
    draw = seeded()
    if slow:
        return [(number, draw.choice(KINDS)) for number in range(1, calls + 1)]
    every = list(itertools.product(range(1, calls + 1), KINDS))
    return every if FAULTS == "all" else draw.sample(every, int(FAULTS))


def withstand(
    scene: Scene, subject: Subject, fault: tuple[int, int], old: Any, new: Any, names: list[str]
) -> None:
    """Runs a subject with a fault, and then without, and looks at what stands after each."""
    number, error = fault
    ended, (_, met) = scene.run(subject.command, fault)
    call = met[number - 1].call if number <= len(met) else None
    where = f"{system_calls.name_of(error)} at {call}"
    assert ended.code in ((0, 1) if error else (-9,)) or not call, (where, ended)
    assert ended.code != 1 or re.fullmatch(r"error: [^\n]{,300}\n", ended.errors), (where, ended)
    stands = subject.look(scene.root)
    assert stands == new or ended.code != 0, (where, "claims to be done")
    assert stands in (old, new, *subject.on_the_way), (where, stands)
    if stands != new or subject.repeatable:
        again, _ = scene.run(subject.command)
        assert again.code == 0, (where, "the next run", again)
        assert subject.look(scene.root) == new, (where, "the next run")
    if subject.look is versions:
        registry = Registry.open(str(scene.root / "registry"), "digits")
        registry.remove(*registry.removable(keep=100, grace=0))
        assert registry.storage.leftovers() == {}, where
    assert sorted(path.name for path in scene.root.iterdir()) == names, (where, "leaves more")


@pytest.mark.parametrize("name", NAMES)
def test_every_call_fails_once(name: str, scene: Scene) -> None:
    subject = SUBJECTS[name]
    old = scene.prepare(subject)
    ended, (_, calls) = scene.run(subject.command)
    assert ended.code == 0, ended.errors
    new, names = subject.look(scene.root), sorted(path.name for path in scene.root.iterdir())
    assert new != old

    problems, faults = [], drawn(len(calls), subject.slow)
    for fault in faults:
        scene.reset()
        try:
            withstand(scene, subject, fault, old, new, names)
        except AssertionError as error:
            problems.append(f"call {fault[0]}: {str(error).partition(chr(10))[0]}")
    print(f"{name}: {len(calls)} calls, {len(faults)} faults, {len(problems)} problems")
    assert not problems, "\n".join(problems)


def test_no_step_is_missing() -> None:
    steps = {name for pipeline in PIPELINES.values() for name in pipeline.step_names}
    # A trial of tune that meets a fault is one that came to nothing, and the search goes on with
    # others: tests/tune kills it. Retrain writes nothing: tests/retrain fails its requests.
    assert steps - {"tune", "retrain"} <= SUBJECTS.keys()
