"""A step of a local run: what it gets, and what is known of it afterwards."""

import io
import json
from pathlib import Path

import pytest

from components.shared.environment import OUTCOMES
from components.shared.outcome import Outcome
from pipeline.local.display import Display
from pipeline.local.processes import Show
from pipeline.local.run import LocalRun
from pipeline.pipelines import MNIST


@pytest.fixture
def run(tmp_path: Path) -> LocalRun:
    """A run that has just begun."""
    directory = tmp_path / "mnist-1"
    directory.mkdir()
    return LocalRun(MNIST, directory, Display(io.StringIO(), 1, debug=False), ["secret"])


def do(run: LocalRun, step: str, code: int, *lines: str, outcome: Outcome | None = None) -> None:
    """Does a step of a run, which prints lines, leaves an outcome and ends."""

    def execute(show: Show) -> int:
        show(f"{line}\n" for line in lines)
        if outcome:
            outcome.write(Path(run.variables[OUTCOMES]))
        return code

    output = {"outputs": {"outputFile": str(run.directory / step / "executor_output.json")}}
    command = ["--executor_input", json.dumps(output), "--function_to_execute", step]
    assert run.step(command, execute) == code


def test_what_came_of_a_step_is_its_outcome_and_not_its_last_line(run: LocalRun) -> None:
    blessed = Outcome(step="evaluate", result="not blessed", message="Not blessed: too few")
    do(run, "evaluate", 0, "Not blessed: too few", "a library says good-bye", outcome=blessed)
    assert run.steps["evaluate"].result == "Not blessed: too few"
    assert run.result == "not blessed"


@pytest.mark.parametrize(
    ("lines", "result"), [((), "exit code 137"), (("error: no room",), "no room")]
)
def test_a_step_that_leaves_no_outcome_and_fails_gets_one(
    run: LocalRun, lines: tuple[str, ...], result: str
) -> None:
    do(run, "train", 137, *lines)
    left = Outcome.read(run.outcomes, "train")
    assert left and (left.result, left.message) == ("failed", result)
    assert run.result == "failed"


def test_a_step_that_fails_after_its_work_has_failed(run: LocalRun) -> None:
    published = Outcome(step="push", result="published", message="Published digits version 1")
    do(run, "push", 1, "error: the disk is full", outcome=published)
    assert run.steps["push"].result == "the disk is full" and run.result == "failed"


def test_that_a_compiled_loop_is_not_text_is_logged_and_not_shown(run: LocalRun) -> None:
    shown = io.StringIO()
    run.display = Display(shown, 1, debug=False)
    noise = "E0000 text_format.cc:378] Error parsing text-format tensorflow.XlaSerializedCacheEntry"
    do(run, "train", 0, noise, "Step 100: loss = 0.42")
    assert "Step 100" in shown.getvalue() and "E0000" not in shown.getvalue()
    assert noise in (run.directory / "train/log.txt").read_text()


def test_a_log_has_no_secrets(run: LocalRun) -> None:
    do(run, "train", 0, "posting to secret")
    assert (run.directory / "train/log.txt").read_text() == "posting to …\n"
