"""Workers find each other whatever else connects, and blame only who is to blame."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.shared.environment import RENDEZVOUS_TOKEN
from components.shared.errors import StepError
from components.train.distributed.cluster import Cluster, split_address
from components.train.distributed.rendezvous import CLIENTS, _greeting, meet
from tests.conftest import FUZZ
from tests.train.conftest import free_addresses


def gather(workers: tuple[str, ...], timeout: float = 20, missing: tuple[int, ...] = ()) -> list:
    """Has workers meet, each in a thread; returns None for each that did, else its error."""

    def one(index: int) -> str | None:
        try:
            meet(Cluster(workers, index), timeout)
        except StepError as error:
            return str(error)
        return None

    present = [index for index in range(len(workers)) if index not in missing]
    with ThreadPoolExecutor(len(present)) as pool:
        return list(pool.map(one, present))


@contextmanager
def strangers(address: str, *lines: bytes) -> Iterator[list[socket.socket]]:
    """Keeps clients connected that say something and nothing more, from the first moment on."""
    clients: list[socket.socket] = []
    done = threading.Event()

    def connect() -> None:
        for line in lines:
            while not done.is_set():
                try:
                    client = socket.create_connection(split_address(address), 5)
                    clients.append(client)
                    client.sendall(line)
                    break
                except OSError:
                    time.sleep(0.005)

    thread = threading.Thread(target=connect)
    thread.start()
    try:
        yield clients
    finally:
        done.set()
        thread.join()
        for client in clients:
            client.close()


@pytest.mark.parametrize("number", [2, 5])
def test_all_meet(number: int) -> None:
    assert gather(free_addresses(number)) == [None] * number


def test_a_port_is_free_again_after_the_meeting() -> None:
    workers = free_addresses(2)
    with strangers(workers[0], b"", b"half a li"):
        assert gather(workers) == [None, None]
        for worker in workers:
            socket.create_server(split_address(worker)).close()


@pytest.mark.parametrize(
    "line",
    [b"", b"\xff\xfe\n", b"\x98" * 50, b"a" * 5_000_000, b"\n" * 1_000, b"ok\n", b"GET / HTTP/1.1"],
    ids=["silence", "no text", "no end", "endless", "empty lines", "ok", "http"],
)
def test_a_stranger_is_no_hindrance(line: bytes) -> None:
    workers = free_addresses(2)
    with strangers(workers[0], line), strangers(workers[1], line):
        assert gather(workers) == [None, None]


def test_a_crowd_of_silent_strangers_is_no_hindrance() -> None:
    workers = free_addresses(2)
    with strangers(workers[0], *[b""] * (CLIENTS // 2)):
        assert gather(workers) == [None, None]


def test_who_is_absent_is_named_and_nobody_else() -> None:
    workers = free_addresses(4)
    said = gather(workers, timeout=2, missing=(1,))
    assert said == [f"worker {workers[1]} did not appear within 2 s (--worker-timeout)"] * 3


def test_something_else_on_a_workers_port_is_named() -> None:
    workers = free_addresses(2)
    with socket.create_server(split_address(workers[1])) as other:
        other.settimeout(10)

        def hang_up() -> None:
            for _ in range(100):
                try:
                    other.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        [said] = gather(workers, timeout=8, missing=(1,))
    assert said.startswith(f"worker {workers[1]} does not answer as a worker of this job: ")


def test_ones_own_port_in_use_is_told() -> None:
    workers = free_addresses(2)
    with socket.create_server(split_address(workers[0])):
        [said] = gather(workers, timeout=2, missing=(1,))
    assert f"worker {workers[0]}: cannot listen on its own port: Address already in use" in said


def test_without_the_token_nobody_can_announce_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = free_addresses(3)
    forged = [_greeting(workers[1], workers[0])]  # with no token, and one meant for another
    monkeypatch.setenv(RENDEZVOUS_TOKEN, "the job's")
    forged += [_greeting(workers[1], workers[2]), f"{workers[1]}\n".encode()]
    with strangers(workers[0], *forged):
        said = gather(workers, timeout=2, missing=(1,))
    assert said == [f"worker {workers[1]} did not appear within 2 s (--worker-timeout)"] * 2
    assert gather(workers) == [None] * 3


def test_the_token_itself_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RENDEZVOUS_TOKEN, "the job's")
    assert b"the job's" not in _greeting("a:1", "b:1")


@pytest.mark.fuzz
@settings(max_examples=max(2, FUZZ // 10))
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_any_bytes_are_no_hindrance(lines: list[bytes]) -> None:
    workers = free_addresses(2)
    with strangers(workers[0], *lines):
        assert gather(workers) == [None, None]


def test_each_job_has_a_token_of_its_own() -> None:
    from components.train.distributed.trainjob import manifest
    from tests.train.distributed.test_trainjob import SETTINGS

    jobs = [manifest("mnist-1", SETTINGS, []) for _ in range(2)]
    tokens = [
        variable["value"]
        for job in jobs
        for variable in job["spec"]["trainer"]["env"]
        if variable["name"] == RENDEZVOUS_TOKEN
    ]
    assert len(set(tokens)) == 2
    assert min(map(len, tokens)) >= 32
    assert RENDEZVOUS_TOKEN in json.dumps(jobs[0])
