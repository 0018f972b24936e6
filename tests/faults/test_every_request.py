"""Each request by which a command changes a registry in a bucket fails once, or is its last.

Refused; carried out, and its answer lost; or the process killed before it: the old or the new
stands, whole; the message is one line; and the next run ends as one that nothing disturbed.
``make test-faults`` takes all; ``make test`` draws one of two commands.
"""

import itertools
import os
import re
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from components.registry.registry import Registry
from tests.faults import system_calls
from tests.faults.stage import Stage, module
from tests.faults.subjects import FAULTS
from tests.registry.conftest import MakeRelease, Service, assert_sound
from tests.registry.fault_proxy import Fault, FaultProxy
from tests.seeds import seeded

pytestmark = pytest.mark.skipif(not system_calls.SUPPORTED, reason="needs Linux on x86-64")

KILLED = "killed"
KINDS = {"refused": Fault(403), "answer lost": Fault(after=True), KILLED: Fault()}

State = tuple[list[int], int]  # the versions, and the champion among them


class Command(NamedTuple):
    """A command on a registry in which all of some versions were champion in turn."""

    line: str
    old: State
    new: State
    on_the_way: tuple[State, ...] = ()
    repeatable: bool = True  # once it has had its effect


COMMANDS = {
    "publish": Command(
        "tests.registry.publisher {registry} {release}", ([1], 1), ([1, 2], 2), (([1, 2], 1),)
    ),
    "promote": Command(
        "components.registry promote 1 --destination={registry}", ([1, 2], 2), ([1, 2], 1)
    ),
    "rollback": Command(
        "components.registry rollback --destination={registry}",
        ([1, 2, 3], 3),
        ([1, 2, 3], 2),
        repeatable=False,
    ),
    "prune": Command(
        "components.registry prune --keep=1 --grace-minutes=0 --destination={registry}",
        ([1, 2, 3], 3),
        ([3], 3),
        (([2, 3], 3),),
    ),
}


def with_variables(variables: dict[str, str], work: Callable[[], object]) -> None:
    os.environ |= variables
    work()


class Meeting:
    """Lets one request of a process meet a fault: the rule of a proxy.

    Args:
        number: Of the request, from 1.
        kind: What it meets.
    """

    def __init__(self, number: int, kind: str) -> None:
        self.count = 0
        self._number, self._kind = number, kind
        self._process, self._started = 0, threading.Event()

    def start(self, process: int) -> None:
        self._process = process
        self._started.set()

    def __call__(self, method: str, path: str) -> Fault | None:
        self.count += 1
        if self.count != self._number:
            return None
        if self._kind == KILLED:
            self._started.wait(60)
            os.killpg(self._process, signal.SIGKILL)
        return KINDS[self._kind]


@pytest.mark.parametrize("name", COMMANDS if FAULTS == "all" else ["publish", "prune"])
def test_every_request_fails_once(
    name: str,
    stage: Stage,
    service: Service,
    proxy: FaultProxy,
    bucket: str,
    release: Path,
    make_release: MakeRelease,
    tmp_path: Path,
) -> None:
    command, attempts = COMMANDS[name], itertools.count()
    servers = {variable: os.environ[variable] for variable in service.environment}

    def attempt(number: int, kind: str) -> int:
        """Runs the command with a fault, and returns how many requests it made."""
        destination = f"{bucket}/{number}-{next(attempts)}"
        registry = Registry.open(destination, "digits")
        for version in command.old[0]:
            assert registry.advance(registry.publish(make_release(str(version)))).version == version
        line = command.line.format(registry=destination, release=release).split()
        work = partial(with_variables, servers, module(*line))

        proxy.rule = meeting = Meeting(number, kind)
        ended, _ = stage.run(work, tmp_path / "nothing", started=meeting.start)
        proxy.rule = lambda method, path: None
        met = 0 < number <= meeting.count
        assert ended.code in ((-9,) if met and kind == KILLED else (0, 1)), ended
        assert ended.code != 1 or re.fullmatch(r"error: [^\n]{,300}\n", ended.errors), ended
        stands = registry.versions(), assert_sound(registry)
        assert stands == command.new or ended.code != 0, "claims to be done"
        assert ended.code == 0 or kind != "answer lost", ended  # the request is made again
        assert stands in (command.old, command.new, *command.on_the_way), stands
        if stands != command.new or command.repeatable:
            again, _ = stage.run(work, tmp_path / "nothing")
            assert again.code == 0, ("the next run", again)
        assert (registry.versions(), assert_sound(registry)) == command.new
        registry.remove(*registry.removable(keep=100, grace=0))
        assert registry.storage.leftovers() == {}
        return meeting.count

    requests = attempt(0, "refused")
    faults: list[Any] = list(itertools.product(range(1, requests + 1), KINDS))
    if FAULTS != "all":
        faults = [seeded().choice(faults)]
    problems = []
    for number, kind in faults:
        try:
            attempt(number, kind)
        except AssertionError as error:
            problems.append(f"request {number}, {kind}: {str(error).partition(chr(10))[0]}")
    print(f"{name} on {service.scheme}://: {requests} requests, {len(faults)} faults")
    assert not problems, "\n".join(problems)
