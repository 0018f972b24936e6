"""Several processes at once, killed, with wrong clocks and lost answers: what they see is in order.

``HISTORIES`` are drawn on each storage; ``make test-histories`` takes two hundred.
"""

import os
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from components.registry.registry import Registry, Release
from tests.forked import CONTEXT
from tests.registry.conftest import MakeRelease, Service
from tests.registry.fault_proxy import Fault, FaultProxy
from tests.registry.historian import Task, act, read_log
from tests.registry.linearizable import Operation, State, explain
from tests.seeds import seeded

HISTORIES = int(os.environ.get("HISTORIES", "2"))
PROCESSES, ACTIONS, RUNS = 3, 4, 4
SKEWS = (0, 0, 3_600, -3_600)  # seconds
LOST = 0.05  # of the answers of a bucket
FIRST = State(champion=2, previous=(1,), highest=2, used=frozenset({1, 2}))


@pytest.fixture
def servers(destination: str, request: pytest.FixtureRequest) -> Iterator[Mapping[str, str]]:
    """The environment by which processes find a bucket's server, behind what loses answers."""
    if "://" not in destination:
        yield {}
        return
    service: Service = request.getfixturevalue(destination.partition("://")[0])
    proxy, draw = FaultProxy(service.address), random.Random(0)
    proxy.rule = lambda method, path: Fault(after=True) if draw.random() < LOST else None
    found = service.environment.items()
    yield {name: proxy.address if value == service.address else value for name, value in found}
    proxy.close()


def history(place: str, servers: Mapping[str, str], releases: list[Release], logs: Path) -> None:
    """Has some processes do this and that, and looks whether it can have been one by one."""
    draw = seeded()
    registry, other = (Registry.open(f"{place}/{name}", "digits") for name in ("one", "other"))
    for version in (1, 2):
        registry.advance(registry.publish(releases[version - 1]))
    processes = []
    for number in range(PROCESSES):
        log = logs / f"{number}.jsonl"
        log.touch()
        task = Task(
            destination=f"{place}/one",
            other=f"{place}/other",
            variables=servers,
            releases=releases,
            seed=draw.randrange(2**32),
            actions=ACTIONS,
            skew=draw.choice(SKEWS),
            log=log,
        )
        processes.append(CONTEXT.Process(target=act, args=(task,)))
    for process in processes:
        process.start()
    enough = draw.randint(1, 2 * ACTIONS)
    while processes[0].is_alive() and (logs / "0.jsonl").read_text().count("\n") < enough:
        time.sleep(0.001)
    processes[0].kill()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes[1:]] == [0] * (PROCESSES - 1)

    done = [each for log in logs.iterdir() for each in read_log(log)]
    manifests = {number: registry.manifest(number) for number in registry.versions()}
    found = frozenset((number, manifest.run_id) for number, manifest in manifests.items())
    champion = registry.champion()
    for kind, result in (("list", found), ("read", champion and champion.version)):
        done.append(Operation(kind, result=result, began=time.monotonic()))
    first = FIRST._replace(versions=frozenset({(1, releases[0].run_id), (2, releases[1].run_id)}))
    assert explain(done, first) is not None, "\n".join(
        map(str, sorted(done, key=lambda o: o.began))
    )
    for each in (registry, other):
        assert [each.verify(version) for version in each.versions()] == [[]] * len(each.versions())
    runs = [other.manifest(version).run_id for version in other.versions()]
    assert len(runs) == len(set(runs))


def test_what_several_processes_see_could_have_been_one_by_one(
    destination: str, servers: Mapping[str, str], make_release: MakeRelease, tmp_path: Path
) -> None:
    releases = [make_release(f"run-{number}") for number in range(RUNS)]
    for number in range(HISTORIES):
        logs = tmp_path / f"logs-{number}"
        logs.mkdir()
        history(f"{destination}-{number}", servers, releases, logs)


VERSIONS = frozenset({(1, "a"), (2, "b")})
PROMOTED = Operation("promote", 1, 1, began=1, ended=2)


@pytest.mark.parametrize(
    "impossible",
    [
        [PROMOTED, Operation("read", result=2, began=3, ended=4)],
        [Operation("publish", "a", 3, began=1, ended=2)],
        [Operation("publish", "c", 2, began=1, ended=2)],
        [Operation("remove", 2, began=1, ended=2)],
        [PROMOTED, Operation("advance", 2, 2, began=3, ended=4)],
        [PROMOTED, Operation("rollback", result=1, began=3, ended=4)],
        [Operation("remove", 1, began=1, ended=2), PROMOTED._replace(began=3, ended=4)],
        [Operation("list", result=frozenset({(1, "a")}), began=1)],
    ],
    ids=lambda history: " ".join(f"{done.kind} {done.argument}" for done in history),
)
def test_what_cannot_have_been_is_found(impossible: list[Operation]) -> None:
    assert explain(impossible, FIRST._replace(versions=VERSIONS)) is None


def test_what_is_under_way_at_once_may_be_in_any_order() -> None:
    read = Operation("read", result=2, began=1, ended=3)
    killed = Operation("publish", "c", began=1, happened=False)
    listed = Operation("list", result=VERSIONS | {(3, "c")}, began=5)
    assert explain([PROMOTED, read, killed, listed], FIRST._replace(versions=VERSIONS))


def test_equal_rollbacks_at_once_may_be_one_and_later_ones_not() -> None:
    first = FIRST._replace(versions=VERSIONS)
    rollback = Operation("rollback", result=1, began=1, ended=3)
    assert explain([rollback, rollback._replace(began=2, ended=4)], first)
    assert explain([rollback, rollback._replace(began=4, ended=5)], first) is None
