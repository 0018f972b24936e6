"""What the steps of a local run are forked from."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.local.command_line import processes_for
from pipeline.local.processes import Command
from pipeline.pipelines import MNIST
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
def {name}():
    import gc, sys
    names = ("components.{name}.{name}", "components.jobs.run", "apache_beam", "tensorflow")
    found = [name for name in names if name in sys.modules]
    print(*found, gc.isenabled(), gc.get_freeze_count() > 0)
"""


def print_imports(earlier: str, directory: Path) -> None:
    """Prints what each step's process has imported before its turn, and how it collects garbage."""
    shown: dict[str, list[str]] = {}
    with processes_for(MNIST, "subprocess", {"network": "mlp"}, earlier) as processes:
        assert processes
        for name in MNIST.step_names:
            place = {"outputFile": str(directory / name / "output.json")}
            lines: list[str] = []
            command = Command(name, ASKS.format(name=name), {"inputs": {}, "outputs": place}, {})
            assert processes.run(command, lines.extend) == 0, lines
            shown[name] = lines[-1].split()
    print(json.dumps(shown))


@pytest.mark.parametrize("earlier", ["", "runs/a/ingest/examples"])
def test_steps_import_while_others_work_and_beam_only_where_it_is_needed(
    earlier: str, tmp_path: Path
) -> None:
    # In an interpreter of its own, whose fork server is a local run's and not the tests'.
    code = f"from {__name__} import *; print_imports({earlier!r}, Path({str(tmp_path)!r}))"
    shown = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    beam = [] if earlier else ["components.jobs.run", "apache_beam"]
    collects = ["True", "True"]
    assert json.loads(shown.splitlines()[-1]) == {
        "ingest": ["components.ingest.ingest", *beam, *collects],
        "train": ["tensorflow", *collects],
        "evaluate": ["components.evaluate.evaluate", "tensorflow", *collects],
        "push": ["components.push.push", "tensorflow", *collects],
    }
