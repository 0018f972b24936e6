"""The run's summary on one machine, and its sentence, from what became of the steps."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from kfp.dsl import PipelineTaskFinalStatus

from components.shared.environment import IN_CLUSTER, OUTCOMES
from components.shared.outcome import Outcome, report_outcome
from components.summary.run_summary import LOST, RunSummary, StepState
from components.summary.summary import summarize
from components.summary.workflow import STEPS, steps_of, terminated
from pipeline.pipelines import PIPELINES, Pipeline
from tests.summary.test_component import (
    ALARM,
    BLESSED,
    MOVED,
    NO_BATCH,
    NOT_BLESSED,
    NOTHING_NEW,
    PREDICTED,
    PUBLISHED,
    QUIET,
)
from tests.workflows import workflow

INGESTED = Outcome(step="ingest", result="done", message="Wrote 70,000 examples; 0 rejected")
STARTED = Outcome(
    step="retrain",
    result="alarm",
    message="Alarm: odd; training digits-retrain-1 started",
    training="digits-retrain-1",
)
TRAINED = Outcome(step="train", result="done", message="Trained 16,500 steps", precision_at_1=0.99)


def final(state: str) -> dict[str, Any]:
    """What KFP's executor makes of what the backend says, which has never an error in it."""
    return asdict(PipelineTaskFinalStatus(state, "mnist-x7k2p", "exit-handler-1", None, None))


@pytest.mark.parametrize(
    ("outcomes", "state", "sentence"),
    [
        (
            [INGESTED, TRAINED, BLESSED, PUBLISHED],
            "succeeded",
            "Run succeeded: published digits version 3 to gs://bucket/registry/digits/3, "
            "test precision@1 0.9890",
        ),
        (
            [INGESTED, TRAINED, NOT_BLESSED],
            "not blessed",
            "Run succeeded, but the model is not blessed and not published: "
            "test precision@1 0.9030 is below 0.978 (and 1 more)",
        ),
        (
            [INGESTED, TRAINED, BLESSED],
            "succeeded",
            f"Run succeeded: b{BLESSED.message[1:]}; not to be published",
        ),
        ([INGESTED, NO_BATCH], "failed", "Run failed: train: the training split has 55 records"),
        ([], "unknown", "Run over, and it is not known how: no step"),
        ([INGESTED], "unknown", "Run over, and it is not known how: ingest succeeded"),
        (
            [PREDICTED, QUIET],
            "succeeded",
            "Run succeeded: predicted 1,000 images with version 3 of digits, nothing moved",
        ),
        (
            [PREDICTED],
            "succeeded",
            "Run succeeded: predicted 1,000 images with version 3 of digits",
        ),
        (
            [PREDICTED, ALARM],
            "alarm",
            f"Run succeeded, but what came in has moved: {MOVED}",
        ),
        (
            [PREDICTED, ALARM, STARTED],
            "alarm",
            "Run succeeded, but what came in has moved: odd; training digits-retrain-1 started",
        ),
        (
            [NOTHING_NEW],
            "succeeded",
            "Run succeeded: nothing new: no images in gs://bucket/incoming/2026-11-25",
        ),
    ],
)
def test_the_sentence_says_what_came_of_the_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcomes: list[Outcome],
    state: str,
    sentence: str,
) -> None:
    monkeypatch.setenv(OUTCOMES, str(tmp_path))
    for outcome in outcomes:
        report_outcome(outcome)
    line, _ = summarize(final("FAILED"), "run-1", "", {"source": "data"}, tmp_path / "summary")
    assert line == f"{sentence} (run run-1)"
    assert capsys.readouterr().out.splitlines()[-1] == line
    summary = json.loads((tmp_path / "summary").read_text())
    assert (summary["state"], summary["outcome"], summary["run"]) == (state, sentence, "run-1")
    assert summary["parameters"] == {"source": "data"}
    reported = Outcome.read(tmp_path, "summary")
    assert reported and reported.message == line


def test_a_push_without_an_evaluation_is_told_too() -> None:
    steps = [StepState("push", "Succeeded", outcome=PUBLISHED)]
    assert RunSummary.of(steps).sentence.endswith("/digits/3, test precision@1 0.9890")


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("COMPLETE", "Run succeeded; more is not known: "),
        ("FAILED", "Run failed; more is not known: "),
        ("RUNNING", "Run over; more is not known: "),  # not blessed, timed out or terminated
    ],
)
def test_where_the_steps_cannot_be_known_it_says_what_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, sentence: str
) -> None:
    monkeypatch.delenv(OUTCOMES, raising=False)
    monkeypatch.delenv(IN_CLUSTER, raising=False)
    page = "https://kfp.example/#/runs/details/{run}"
    line, _ = summarize(final(state), "run-1", page, {}, tmp_path / "summary")
    assert line.startswith(sentence)
    assert line.endswith(" (run run-1 https://kfp.example/#/runs/details/run-1)")


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
def test_every_step_of_every_pipeline_is_looked_for(pipeline: Pipeline) -> None:
    assert [step for step in STEPS if step in pipeline.step_names] == list(pipeline.step_names)
    assert pipeline.step_names[-1] in LOST


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "root-driver-failed",
            "Run failed: root-driver: Error (exit code 64): failed to put file: The specified "
            "bucket does not exist",
        ),
        (
            "pod-deleted",
            "Run over, and it is not known how: ingest succeeded, train succeeded, "
            "evaluate running",
        ),
    ],
)
def test_what_only_the_workflow_says(name: str, sentence: str) -> None:
    found = workflow(name)
    assert RunSummary.of(steps_of(found), terminated(found)).sentence == sentence


def test_a_workflow_that_fails_without_a_step_has_its_own_message() -> None:
    found = workflow("root-driver-failed")
    del found["status"]["nodes"]
    found["status"]["message"] = "invalid spec: templates.root: no such template"
    summary = RunSummary.of(steps_of(found), terminated(found))
    assert summary.sentence == (
        "Run failed: the workflow: invalid spec: templates.root: no such template"
    )
