"""What meets faults: every step and the commands of a registry, each in a scene of its own."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from components.registry.registry import Registry
from tests.faults.power_cut import Record
from tests.faults.stage import Stage, module, without_fsync
from tests.faults.system_calls import Ended
from tests.outputs import contents, timeless
from tests.registry.conftest import MakeRelease


def output(name: str) -> Callable[[Path], Any]:
    """Returns what looks at a step's output; what a kill has left aside will be put back."""

    def look(root: Path) -> Any:
        aside = root / f".{name}.replaced"
        return contents(root / name if (root / name).exists() else aside, without_times=True)

    return look


def page(root: Path) -> Any:
    """Looks at a page."""
    return timeless((root / "registry.html").read_text())


def versions(root: Path) -> Any:
    """Looks at a registry: which versions there are, all whole, and which is the champion."""
    registry = Registry.open(str(root / "registry"), "digits")
    found, champion = registry.versions(), registry.champion()
    assert [registry.verify(version) for version in found] == [[]] * len(found)
    assert champion is None or champion.version in found
    return found, champion and champion.version


class Subject(NamedTuple):
    """What meets the faults: a command line, in which {name} stands for what a fixture made."""

    command: str
    look: Callable[[Path], Any]
    champions: tuple[int, ...] = ()  # of the registry before: each version is published, in turn
    before: tuple[str, ...] = ()  # then, the commands that make the old
    on_the_way: tuple[Any, ...] = ()  # what may stand besides old and new
    repeatable: bool = True  # once it has had its effect
    slow: bool = False  # takes a second or more, or needs much


TRAIN = " --max-steps=20 --checkpoint-every=10 --batch-size=20 --hidden=8,4"
EVALUATE = (
    "components.evaluate --examples={examples} --model={model} --output={root}/evaluation "
    "--max-latency-ms=10000 --min-precision="
)
PREDICT = "components.predict --destination={published} --output={root}/answers --source=fake://"
WATCH = "components.watch --predictions={predictions} --output={root}/drift --max-ink-psi="
REPORT = "components.registry report --destination={root}/registry --output={root}/registry.html"
WRITE = "tests.faults.writer {root}/out "
SUBJECTS = {
    "a directory": Subject(WRITE + "new", output("out"), before=(WRITE + "old",)),
    "ingest": Subject(
        "components.ingest --source=fake://300 --output={root}/examples",
        output("examples"),
        before=("components.ingest --source=fake://200 --output={root}/examples",),
        slow=True,
    ),
    "train": Subject(
        "components.train --examples={few} --model={root}/model --logs={root}/logs" + TRAIN,
        output("model"),
        slow=True,
    ),
    "evaluate": Subject(
        EVALUATE + "0.5", output("evaluation"), before=(EVALUATE + "0.6",), slow=True
    ),
    "push": Subject(
        "components.push --model={model} --evaluation={evaluation} --destination={root}/registry "
        "--max-serving-ms=10000",
        versions,
        on_the_way=(([1], None),),
        slow=True,
    ),
    "predict": Subject(PREDICT + "100", output("answers"), before=(PREDICT + "50",), slow=True),
    "watch": Subject(WATCH + "0.1", output("drift"), before=(WATCH + "0.2",), slow=True),
    "publish": Subject(
        "tests.registry.publisher {root}/registry {release}",
        versions,
        on_the_way=(([1], None),),
    ),
    "registry promote": Subject(
        "components.registry promote 1 --destination={root}/registry", versions, champions=(1, 2)
    ),
    "registry rollback": Subject(
        "components.registry rollback --destination={root}/registry",
        versions,
        champions=(1, 2),
        repeatable=False,
    ),
    "registry prune": Subject(
        "components.registry prune --keep=1 --grace-minutes=0 --destination={root}/registry",
        versions,
        champions=(1, 2, 3),
        on_the_way=(([2, 3], 3),),
    ),
    "registry copy": Subject(
        "components.registry copy 1 --destination={published} --to={root}/registry "
        "--max-serving-ms=10000",
        versions,
        slow=True,
    ),
    "registry report": Subject(
        REPORT,
        page,
        champions=(1, 2),
        before=(REPORT, "components.registry promote 1 --destination={root}/registry"),
    ),
}


FAULTS = os.environ.get("FAULTS", "5")  # of each that is not slow; or all
NAMES = [name for name, subject in SUBJECTS.items() if FAULTS == "all" or not subject.slow]


class Scene:
    """A directory in which a subject runs again and again, each time on what was there before.

    Args:
        stage: Where it runs.
        request: Finds fixtures by the names in command lines.
        directory: An empty one.
    """

    def __init__(self, stage: Stage, request: pytest.FixtureRequest, directory: Path) -> None:
        self._stage, self._request = stage, request
        self.root, self._before = directory / "here", directory / "before"
        self.root.mkdir(parents=True)

    def run(
        self,
        command: str,
        fault: tuple[int, int] = (0, 0),
        left_out: tuple[str, int] | None = None,
    ) -> tuple[Ended, Record]:
        """Runs a command line.

        Args:
            command: Which, with {name} for what a fixture made, and {root}.
            fault: What it meets, as a stage takes it.
            left_out: File and line of an fsync that is not made.
        """
        named = re.findall(r"{(\w+)}", command)
        places = {"root": self.root} | {
            name: self._request.getfixturevalue(name) for name in named if name != "root"
        }
        work = module(*command.format(**places).split())
        return self._stage.run(without_fsync(left_out, work), self.root, fault)

    def prepare(self, subject: Subject) -> Any:
        """Makes what is there before a subject runs, and returns what it looks like."""
        make_release: MakeRelease = self._request.getfixturevalue("make_release")
        registry = Registry.open(str(self.root / "registry"), "digits")
        for number in subject.champions:
            assert registry.advance(registry.publish(make_release(str(number)))).version == number
        for command in subject.before:
            ended, _ = self.run(command)
            assert ended.code == 0, ended.errors
        shutil.copytree(self.root, self._before)
        return subject.look(self.root)

    def reset(self) -> None:
        """Has all be as it was before."""
        shutil.rmtree(self.root)
        shutil.copytree(self._before, self.root)
