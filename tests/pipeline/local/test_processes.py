"""What the steps of a local run are forked from."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

THREADS = """
import importlib, json, pathlib, sys
from pipeline.local.processes import PRELOADED
for name in PRELOADED:
    importlib.import_module(name)
threads = [path.read_text().strip() for path in pathlib.Path("/proc/self/task").glob("*/comm")]
steps = [name for name in sys.modules if name.startswith(("components.train", "components.push"))]
print(json.dumps([threads, "tensorflow" in sys.modules, steps]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")
def test_a_fork_finds_libraries_and_no_thread_that_it_would_miss() -> None:
    # OpenBLAS, set to take one thread, starts none; jemalloc sees to forks itself.
    shown = subprocess.check_output(
        [sys.executable, "-c", THREADS], cwd=ROOT, text=True, env={"OPENBLAS_NUM_THREADS": "1"}
    )
    threads, tensorflow, steps = json.loads(shown)
    assert tensorflow and steps == []
    assert sorted(set(threads) - {"jemalloc_bg_thd"}) == ["python"]
    assert threads.count("python") == 1
