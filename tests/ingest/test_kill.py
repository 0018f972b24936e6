"""A run that is killed leaves no dataset, or a whole one."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from components.ingest.ingest import ingest
from components.shared.storage import sha256_of_directory
from pipeline.config import Ingest
from tests.conftest import ROOT

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
    expected = sha256_of_directory(output)
    chance = random.Random(0)
    killed = 0
    for attempt in range(KILLS):
        if attempt % 2:  # there is an earlier dataset to replace; else, there is none
            ingest(Ingest(source="fake://100"), output)
        else:
            shutil.rmtree(output, ignore_errors=True)
        earlier = sha256_of_directory(output) if output.exists() else None
        process = _start(output)
        try:
            process.wait(timeout=seconds * chance.uniform(0.5, 1.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
        left = sha256_of_directory(output) if output.exists() else None
        assert left in (expected, earlier, None)
    assert killed
    assert _start(output).wait() == 0
    assert sha256_of_directory(output) == expected
    assert not list(tmp_path.glob(".examples.partial-*"))
    print(f"{killed} of {KILLS} runs killed")
