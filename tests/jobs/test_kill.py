"""A run that is killed leaves no output, or a whole one."""

import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.forked import Forked
from tests.ingest.conftest import dataset_digest
from tests.jobs.conftest import JOBS

KILLS = int(os.environ.get("KILLS", "2"))


class Job:
    """A step that is a Beam job, on made-up images."""

    def __init__(self, step: str, output: Path, *options: object) -> None:
        self.command = ["-m", f"components.{step}", *options]
        self.output = output

    def start(self, source: str) -> Forked:
        """Starts it."""
        options = ["--source", source, "--shard-size", "5000", "--output", self.output]
        return Forked(*self.command, *options, merged=True)

    def whole(self, source: str) -> str:
        """Runs it to its end, and returns the sum over its output."""
        with self.start(source) as process:
            printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed
        return dataset_digest(self.output)


@pytest.fixture(params=JOBS)
def job(request: pytest.FixtureRequest, published: Path, tmp_path: Path) -> Job:
    registry = ("--destination", published) if request.param == "predict" else ()
    return Job(request.param, tmp_path / "out", *registry)


def test_killed_at_random_moments(job: Job, tmp_path: Path) -> None:
    large, small = "fake://60000", "fake://100"
    start = time.perf_counter()
    expected = job.whole(large)
    seconds = time.perf_counter() - start
    before = job.whole(small)
    earlier = tmp_path / "earlier"
    shutil.copytree(job.output, earlier)
    chance = random.Random(0)
    killed = attempts = 0
    while killed < KILLS:
        attempts += 1
        assert attempts < 3 * KILLS, "most runs end before they are killed"
        shutil.rmtree(job.output, ignore_errors=True)
        if attempts % 2 == 0:  # there is an earlier output to replace; else, there is none
            shutil.copytree(earlier, job.output)
        start = time.perf_counter()
        with job.start(large) as process:
            try:
                process.wait(timeout=seconds * chance.uniform(0.4, 1))
                seconds = time.perf_counter() - start  # the machine got faster
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
        left = dataset_digest(job.output) if job.output.exists() else None
        assert left in (expected, before, None)
    assert job.whole(large) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["earlier", "out"]
    print(f"{killed} of {attempts} runs killed")
