"""A run that is killed leaves no dataset, or a whole one."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from components.config import Ingest
from components.ingest.ingest import ingest
from tests.conftest import ROOT
from tests.ingest.conftest import dataset_digest

KILLS = int(os.environ.get("KILLS", "3"))
SOURCE = ("--source", "fake://60000", "--shard-size", "5000")


def _start(output: Path) -> subprocess.Popen:
    arguments = [sys.executable, "-m", "components.ingest", *SOURCE, "--output", str(output)]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    output = tmp_path / "examples"
    start = time.perf_counter()
    assert _start(output).wait() == 0
    seconds = time.perf_counter() - start
    expected = dataset_digest(output)
    ingest(Ingest(source="fake://100"), output)
    small = dataset_digest(output)
    chance = random.Random(0)
    killed = attempts = 0
    while killed < KILLS:
        attempts += 1
        assert attempts < 3 * KILLS, "most runs end before they are killed"
        if attempts % 2:  # there is no dataset; else, there is an earlier one to replace
            shutil.rmtree(output, ignore_errors=True)
        else:
            ingest(Ingest(source="fake://100"), output)
        start = time.perf_counter()
        process = _start(output)
        try:
            process.wait(timeout=seconds * chance.uniform(0.4, 1))
            seconds = time.perf_counter() - start  # the machine got faster
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
        left = dataset_digest(output) if output.exists() else None
        assert left in (expected, small, None)
    assert _start(output).wait() == 0
    assert dataset_digest(output) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["examples"]
    print(f"{killed} of {attempts} runs killed")
