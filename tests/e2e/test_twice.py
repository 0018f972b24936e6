"""Every step started twice at once and then again, on the same inputs and outputs, is as once.

What may differ from one time to the next is derived, not listed: the manifests' figures that are
measured in time, by the unit in their names, and such figures in texts for people.
"""

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from components.config import Predict
from components.predict.predict import predict
from components.shared.command_line import flag
from components.shared.environment import OUTCOMES
from components.shared.outcome import Outcome
from pipeline.pipelines import PIPELINES
from tests.conftest import ROOT
from tests.forked import LOOPS, Forked
from tests.outputs import contents


class Step(NamedTuple):
    """What a step is started with."""

    inputs: dict[str, str]  # options, and the fixtures that they name
    outputs: tuple[str, ...]  # options that name a directory each
    options: dict[str, object]
    writes_anew: bool = True  # or leaves what is there, to the last byte


STEPS = {
    "ingest": Step({"source": "small_source"}, ("output",), {"validation_size": 500}),
    "train": Step({"examples": "examples"}, ("model", "logs"), {"max_steps": 60}),
    "evaluate": Step(
        {"examples": "examples", "model": "model"}, ("output",), {"max_latency_ms": 10_000}
    ),
    "push": Step(
        {"model": "model", "evaluation": "evaluation"},
        ("destination",),
        {"max_serving_ms": 10_000},
        writes_anew=False,
    ),
    "predict": Step({"destination": "published"}, ("output",), {"source": "fake://300"}),
    "watch": Step({"predictions": "predictions"}, ("output",), {}),
}
# A search is many trainings side by side, and its journal has a line for every start: what is over
# is not done again, as tests/tune says. What an alarm starts is in tests/retrain.
ELSEWHERE = {"tune", "retrain"}


@pytest.fixture
def predictions(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the champion says of some images."""
    directory = tmp_path_factory.mktemp("predicted") / "predictions"
    predict(Predict(source="fake://300", destination=str(published)), directory)
    return directory


class Ended(NamedTuple):
    """How a run of a step ended."""

    code: int
    error: str  # what it printed as such
    outcome: Outcome

    @property
    def came_to(self) -> Outcome:
        """Its outcome but for the sentence, which may say that something was there already."""
        return self.outcome.model_copy(update={"message": ""})


class Runs:
    """Starts a step, always on the same inputs and outputs.

    Args:
        name: The step's.
        arguments: Its command line.
        scratch: A directory for what the runs report.
    """

    def __init__(self, name: str, arguments: list[str], scratch: Path) -> None:
        self._name = name
        self._command = ["-m", f"components.{name}", *arguments]
        self._scratch = scratch

    def _ended(self, number: int, code: int, error: str) -> Ended:
        outcome = Outcome.read(self._scratch / str(number), self._name)
        assert outcome, error
        return Ended(code, error, outcome)

    def at_once(self, count: int) -> list[Ended]:
        """Starts as many in the same moment, their imports done, and waits for all."""
        with ExitStack() as stack:
            processes = [
                stack.enter_context(Forked(*self._command, environment=self._place(number)))
                for number in range(count)
            ]
            errors = [process.communicate(timeout=300)[1] for process in processes]
            codes = [process.wait() for process in processes]
        return [self._ended(*ended) for ended in zip(range(count), codes, errors, strict=True)]

    def alone(self) -> Ended:
        """Has an interpreter of its own do it, as its users do."""
        process = subprocess.run(
            [sys.executable, *self._command],
            cwd=ROOT,
            env={**LOOPS, **os.environ, **self._place(0)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return self._ended(0, process.returncode, process.stderr)

    def _place(self, number: int) -> dict[str, str]:
        place = self._scratch / str(number)
        place.mkdir(parents=True, exist_ok=True)
        return {OUTCOMES: str(place)}


@pytest.mark.parametrize("name", STEPS)
def test_twice_is_as_once(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    step = STEPS[name]
    outputs = {option: tmp_path / "out" / option for option in step.outputs}
    inputs = {option: request.getfixturevalue(value) for option, value in step.inputs.items()}
    arguments = [f"{flag(k)}={v}" for k, v in {**inputs, **outputs, **step.options}.items()]
    runs = Runs(name, arguments, tmp_path / "outcomes")

    done = []
    for run in runs.at_once(2):
        if run.code == 0:
            done.append(run)
            continue
        locked = re.fullmatch("error: (.*): another run writes to it; wait for .*\n", run.error)
        assert run.code == 1 and locked and Path(locked[1]) in outputs.values(), run.error
    assert done and all(run.came_to == done[0].came_to for run in done)

    before = contents(tmp_path / "out", step.writes_anew)
    assert any(before.values())
    again = runs.alone()
    assert (again.code, again.came_to) == (0, done[0].came_to), again.error
    after = contents(tmp_path / "out", step.writes_anew)
    assert {name for name in before | after if before.get(name) != after.get(name)} == set()


def test_no_step_of_a_pipeline_is_missing() -> None:
    steps = {name for pipeline in PIPELINES.values() for name in pipeline.step_names}
    assert steps == STEPS.keys() | ELSEWHERE
