"""What the steps of a local run are forked from."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.local.processes import Command, Processes
from pipeline.pipelines import PREDICT
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


ASKS = """
def {name}(expected: str):
    import sys
    missing = [module for module in expected.split() if module not in sys.modules]
    print("missing", *missing)
    print("tensorflow", "tensorflow" in sys.modules)
"""


def test_the_steps_of_a_night_have_their_imports_done_and_watch_without_tensorflow(
    tmp_path: Path,
) -> None:
    shown: dict[str, list[str]] = {}
    with Processes(PREDICT.preimports, PREDICT.forked) as processes:
        for name, modules in PREDICT.preimports.items():
            executor_input = {
                "inputs": {"parameterValues": {"expected": " ".join(modules)}},
                "outputs": {"outputFile": str(tmp_path / name / "output.json")},
            }
            lines: list[str] = []
            command = Command(name, ASKS.format(name=name), executor_input, {})
            assert processes.run(command, lines.extend) == 0, lines
            shown[name] = [line.strip() for line in lines]
    assert "missing" in shown["predict"] and "tensorflow True" in shown["predict"]
    assert "missing" in shown["watch"] and "tensorflow False" in shown["watch"]
