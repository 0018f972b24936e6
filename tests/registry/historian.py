"""A process that does this and that to a registry, may be killed, and writes down what it saw."""

import itertools
import json
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from components.registry import bucket_storage, gcs_bucket
from components.registry.registry import Registry, Release
from components.shared.errors import StepError
from components.shared.process import end_with_parent
from tests.registry.linearizable import REFUSED, Operation

KINDS = ("push", "push", "promote", "rollback", "prune", "read", "read", "copy")


class Task(NamedTuple):
    """What a process is to do, and where."""

    destination: str
    other: str  # the registry that is copied to
    variables: Mapping[str, str]  # the environment by which servers are found
    releases: Sequence[Release]
    seed: int
    actions: int
    skew: float  # seconds by which its clock is wrong
    log: Path


def act(task: Task) -> None:
    """Does what it is to do, and ends."""
    end_with_parent()
    os.environ |= task.variables
    vars(bucket_storage).update(FIRST_PAUSE=0.02, LONGEST_PAUSE=0.2)
    vars(gcs_bucket)["RESUME"] = gcs_bucket.RESUME.with_delay(0.02, 0.2, 2)
    right = time.time
    vars(time)["time"] = lambda: right() + task.skew
    with task.log.open("w", buffering=1) as log:
        historian = Historian(task, lambda **values: log.write(json.dumps(values) + "\n"))
        for _ in range(task.actions):
            historian.act()


class Historian:
    """Does one thing after another, and writes a line before and after each."""

    def __init__(self, task: Task, write: Callable[..., object]) -> None:
        self._draw = random.Random(task.seed)
        self._registry = Registry.open(task.destination, "digits")
        self._other = Registry.open(task.other, "digits")
        self._releases, self._write = task.releases, write

    def act(self) -> None:
        """Does one thing, whether it succeeds or not."""
        with suppress(StepError):  # is written down
            getattr(self, f"_{self._draw.choice(KINDS)}")()

    def _do(self, kind: str, argument: object, call: Callable[[], Any]) -> Any:
        self._write(kind=kind, argument=argument, began=time.monotonic())
        try:
            result = call()
        except StepError as error:
            refused = any(reason in str(error) for reason in (": no version ", "no earlier champ"))
            self._write(ended=time.monotonic(), happened=refused, result=REFUSED, why=str(error))
            raise
        self._write(ended=time.monotonic(), happened=True, result=result)
        return result

    def _push(self) -> None:
        release = self._draw.choice(self._releases)
        version = self._do("publish", release.run_id, lambda: self._registry.publish(release))
        self._do("advance", version, lambda: self._registry.advance(version).version)

    def _promote(self) -> None:
        version = self._draw.choice([*self._registry.versions(), 1])
        self._do("promote", version, lambda: self._registry.promote(version).version)

    def _rollback(self) -> None:
        self._do("rollback", 0, lambda: self._registry.rollback().version)

    def _prune(self) -> None:
        versions, leftovers = self._registry.removable(keep=self._draw.randint(1, 2), grace=1)
        self._do("prune", versions, lambda: self._registry.remove(versions, leftovers, 1)[0])

    def _read(self) -> None:
        champion = self._do("read", 0, self._registry.in_use)
        try:
            problems = self._registry.verify(champion)
        except StepError as error:
            problems = [str(error)]
        if problems and self._registry.in_use() == champion:
            self._write(broken=f"{champion} is in use: {problems[0]}")

    def _copy(self) -> None:
        version = self._registry.in_use() or 1
        manifest = self._registry.manifest(version)
        with TemporaryDirectory() as cache:
            directory = self._registry.fetch(version, Path(cache))
            self._other.publish(
                Release(
                    run_id=manifest.run_id,
                    model_sha256=manifest.model_sha256,
                    precision_at_1=manifest.precision_at_1,
                    validation=manifest.validation,
                    files={name: directory / name for name in manifest.files},
                    digests=manifest.files,
                )
            )


def read_log(log: Path) -> list[Operation]:
    """Returns what a process did, in part without its end.

    A prune is as many operations as it removes versions; of one that failed or was killed each may
    have happened. So may a promotion of which the end is not known, and be put right again.
    """
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
    assert not [line for line in lines if "broken" in line], lines
    operations = []
    for begin, end in itertools.pairwise([*lines, {}]):  # none of a process killed before it began
        if "kind" not in begin:
            continue
        done = Operation(
            begin["kind"],
            began=begin["began"],
            ended=end.get("ended", float("inf")),
            happened=end.get("happened", False),
        )
        if done.kind == "prune":
            removed = end["result"] if done.happened else begin["argument"]
            operations += [done._replace(kind="remove", argument=version) for version in removed]
            continue
        if done.kind == "read" and not done.happened:
            continue  # says that the champion is not there
        operations.append(done._replace(argument=begin["argument"], result=end.get("result")))
        if not done.happened:
            operations.append(done._replace(kind="back"))
    return operations
