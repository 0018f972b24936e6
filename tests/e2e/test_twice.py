"""Every step started twice at once and then again, on the same inputs and outputs, is as once.

What may differ from one time to the next is derived, not listed: the manifests' figures that are
measured in time, by the unit in their names, and such figures in texts for people.
"""

import os
import re
import subprocess
import sys
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
        self._command = [sys.executable, "-m", f"components.{name}", *arguments]
        self._scratch = scratch

    def at_once(self, count: int) -> list[Ended]:
        """Starts as many at once, and waits for all."""
        places = [self._scratch / str(number) for number in range(count)]
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
        processes = [
            subprocess.Popen(
                self._command,
                cwd=ROOT,
                env={**os.environ, OUTCOMES: str(place)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for place in places
        ]
        errors = [process.communicate(timeout=300)[1] for process in processes]
        ended = []
        for process, error, place in zip(processes, errors, places, strict=True):
            outcome = Outcome.read(place, self._name)
            assert outcome, error
            ended.append(Ended(process.returncode, error, outcome))
        return ended


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
    (again,) = runs.at_once(1)
    assert (again.code, again.came_to) == (0, done[0].came_to), again.error
    after = contents(tmp_path / "out", step.writes_anew)
    assert {name for name in before | after if before.get(name) != after.get(name)} == set()


def test_no_step_of_a_pipeline_is_missing() -> None:
    steps = {name for pipeline in PIPELINES.values() for name in pipeline.step_names}
    assert steps == STEPS.keys() | ELSEWHERE
