"""Worker processes: a lost one ends ingest with one line, and none outlives it."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.config import Ingest
from components.ingest.ingest import ingest
from components.jobs import processes
from components.jobs import run as jobs
from components.shared import process as shared
from components.shared.errors import StepError
from tests.conftest import ROOT, with_small_files
from tests.jobs.conftest import JOBS

PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
SECONDS = 120  # more than any of it takes


def _workers(parent: int) -> list[int]:
    """The worker processes that a process has started."""
    found = []
    for directory in Path("/proc").iterdir():
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
            status = (directory / "stat").read_text().rpartition(")")[2].split()
        except (OSError, IndexError):
            continue
        if b"components.jobs.worker" in words and int(status[1]) == parent:
            found.append(int(directory.name))
    return found


def _running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """An ingest that would take long, and its two worker processes, at work."""
    arguments = ("--source", "fake://3000000", "--shard-size", "5000", "--output", "out")
    process = subprocess.Popen(
        [sys.executable, "-m", "components.ingest", *arguments, "--", *PROCESSES],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        _until(lambda: list(tmp_path.glob(".out.partial/train/*")) or process.poll() is not None)
        workers = _workers(process.pid)
        yield process, workers
        for left in [process.pid, *workers]:
            if _running(left):
                os.kill(left, signal.SIGKILL)
                pytest.fail("a process was left")


def test_a_killed_worker_ends_ingest_with_one_line(
    run: tuple[subprocess.Popen[str], list[int]], tmp_path: Path
) -> None:
    process, workers = run
    os.kill(workers[0], signal.SIGKILL)
    told, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    (line,) = [line for line in told.splitlines() if not line.startswith("Splits: ")]
    assert line.startswith("error: a worker process was killed by SIGKILL, expected")
    assert list(tmp_path.iterdir()) == []
    _until(lambda: not any(map(_running, workers)))


def test_ctrl_c_ends_ingest_and_its_workers(
    run: tuple[subprocess.Popen[str], list[int]], tmp_path: Path
) -> None:
    process, workers = run
    for one in [process.pid, *workers]:  # as a terminal does
        os.kill(one, signal.SIGINT)
    told, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert "Traceback" not in told and "Aborted!" in told
    assert list(tmp_path.iterdir()) == []
    _until(lambda: not any(map(_running, workers)))


@pytest.mark.parametrize(
    ("command", "told"),
    [("false", "a worker process ended, with"), ("no-such-program", "program: no such file")],
)
def test_workers_that_cannot_start_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, told: str
) -> None:
    monkeypatch.setattr(processes, "COMMAND", [command])
    with pytest.raises(StepError, match=told):
        ingest(Ingest(source="fake://200"), tmp_path / "out", PROCESSES)
    assert list(tmp_path.iterdir()) == []


def test_an_interpreter_may_have_a_space_in_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter = tmp_path / "my env" / "python"
    interpreter.parent.mkdir()
    interpreter.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    interpreter.chmod(0o755)
    monkeypatch.setattr(processes, "COMMAND", [str(interpreter), *processes.COMMAND[1:]])
    dataset = ingest(Ingest(source="fake://200"), tmp_path / "out", PROCESSES)
    assert dataset.metrics["read"] == 200


@pytest.mark.parametrize("flags", [(), ("--", *PROCESSES)], ids=["here", "in processes"])
@pytest.mark.parametrize("step", JOBS)
def test_what_the_system_has_against_a_file_is_one_line(
    step: str, flags: tuple[str, ...], published: Path, tmp_path: Path
) -> None:
    registry = ["--destination", str(published)] if step == "predict" else []
    options = ["--source", "fake://3000", "--output", "out", *registry, *flags]
    process = with_small_files(90_000, tmp_path, f"components.{step}", *options)
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: ") and "file too large" in line
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Sixty-four cores; a container's quota can be written to the file."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64))
    monkeypatch.setattr(shared, "QUOTA", tmp_path / "cpu.max")
    return tmp_path / "cpu.max"


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for cores")
@pytest.mark.parametrize(
    ("quota", "ranges", "expected"),
    [
        ("", 1_000, 16),
        ("", 3, 3),
        ("max 100000", 1_000, 16),
        ("400000 100000", 1_000, 4),
        ("50000 100000", 1_000, 1),
    ],
)
def test_workers_are_bounded_by_cores_quota_and_work(
    many_cores: Path, quota: str, ranges: int, expected: int
) -> None:
    if quota:
        many_cores.write_text(f"{quota}\n")
    assert processes.suitable(ranges) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for cores")
def test_on_many_cores_ingest_starts_no_worker_without_a_range(
    many_cores: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(jobs, "WORTH_PROCESSES", 1)
    dataset = ingest(Ingest(source="fake://200", shard_size=100), tmp_path / "out")
    shards = sum(len(split.shards) for split in dataset.splits.values())
    assert 1 < len(processes.WatchedProcess.started) <= shards < 10
