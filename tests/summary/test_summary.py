"""The run's summary, from what became of the steps."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from kfp.dsl import PipelineTaskFinalStatus

from components.summary.outcome import Step
from components.summary.summary import summarize, write_steps
from components.summary.workflow import STEPS, TOLD
from pipeline.pipelines import PIPELINES, Pipeline

BLESSED = "Blessed: all 6 rules hold, test precision@1 0.9890 (0.9868 to 0.9908)"
PUBLISHED = "Published digits version 3 to gs://bucket/registry/digits/3"
INGEST = Step("ingest", "Succeeded", log=["Wrote 70,000 examples; 0 rejected"])
TRAIN = Step("train", "Succeeded", log=["Trained 16,500 steps: test precision@1 0.9890"])
PREDICT = Step(
    "predict", "Succeeded", "", ["Classes: …", "Predicted 1,000 images with version 3 of digits"]
)
MOVED = "the mean image lies 206.5 grey values …; retrain: make local SOURCE=data/mnist"


def final(state: str) -> dict[str, Any]:
    """What KFP's executor makes of what the backend says, which has never an error in it."""
    return asdict(PipelineTaskFinalStatus(state, "mnist-x7k2p", "exit-handler-1", None, None))


def told(directory: Path, steps: list[Step]) -> tuple[str, dict[str, Any]]:
    """The line and the file of a run on this machine."""
    write_steps(directory, steps)
    line = summarize(final("FAILED"), "run-1", "", {"source": "data"}, directory / "summary")
    return line, json.loads((directory / "summary").read_text())


@pytest.mark.parametrize(
    ("steps", "state", "sentence"),
    [
        (
            [
                INGEST,
                TRAIN,
                Step("evaluate", "Succeeded", "", [BLESSED]),
                Step("push", "Succeeded"),
            ],
            "succeeded",
            "Run succeeded: published, test precision@1 0.9890",
        ),
        (
            [
                *(INGEST, TRAIN, Step("evaluate", "Succeeded", "", ["…", BLESSED, "…"])),
                Step("push", "Succeeded", "", ["Validated in a fresh process: …", PUBLISHED]),
            ],
            "succeeded",
            "Run succeeded: published digits version 3 to gs://bucket/registry/digits/3, "
            "test precision@1 0.9890",
        ),
        (
            [
                *(INGEST, TRAIN),
                Step("evaluate", "Succeeded", "", ["Not blessed: test precision@1 0.9 is below 1"]),
            ],
            "not blessed",
            "Run succeeded, but the model is not blessed and not published: "
            "test precision@1 0.9 is below 1",
        ),
        (
            [
                INGEST,
                Step("train", "Failed", "Error (exit code 1)", ["error: the loss is nan", "…"]),
            ],
            "failed",
            "Run failed: train: the loss is nan",
        ),
        (
            [INGEST, Step("train", "Failed", "OOMKilled (exit code 137)", ["Step 100: loss = 2"])],
            "failed",
            "Run failed: train: OOMKilled (exit code 137)",
        ),
        ([], "unknown", "Run over, and it is not known how: no step"),
        (
            [PREDICT, Step("watch", "Succeeded", "", ["  pass …", "Quiet: all 5 rules hold"])],
            "succeeded",
            "Run succeeded: predicted 1,000 images with version 3 of digits, nothing moved",
        ),
        (
            [PREDICT, Step("watch", "Succeeded")],  # its log is gone
            "succeeded",
            "Run succeeded: predicted 1,000 images with version 3 of digits; whether anything "
            "moved is not known, see the log of watch",
        ),
        ([PREDICT], "succeeded", "Run succeeded: predicted 1,000 images with version 3 of digits"),
        (
            [PREDICT, Step("watch", "Succeeded", "", ["  FAIL …", f"Alarm: {MOVED}"])],
            "alarm",
            f"Run succeeded, but what came in has moved: {MOVED}",
        ),
        (
            [Step("predict", "Succeeded", "", ["Nothing new: no images in in/{date}, 2026-11-25"])],
            "succeeded",
            "Run succeeded: nothing new: no images in in/{date}, 2026-11-25",
        ),
        (
            [PREDICT, Step("watch", "Failed", "", ["error: no reference.json"])],
            "failed",
            "Run failed: watch: no reference.json",
        ),
    ],
)
def test_the_sentence_says_what_came_of_the_run(
    tmp_path: Path, steps: list[Step], state: str, sentence: str
) -> None:
    line, summary = told(tmp_path, steps)
    assert line == f"{sentence} (run run-1)"
    assert (summary["state"], summary["outcome"], summary["run"]) == (state, sentence, "run-1")
    assert summary["parameters"] == {"source": "data"}


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("COMPLETE", "Run succeeded; more is not known: "),
        ("FAILED", "Run failed; more is not known: "),
        ("RUNNING", "Run over; more is not known: "),  # not blessed, timed out or terminated
    ],
)
def test_where_the_steps_cannot_be_known_it_says_what_it_knows(
    tmp_path: Path, state: str, sentence: str
) -> None:
    page = "https://kfp.example/#/runs/details/{run}"
    line = summarize(final(state), "run-1", page, {}, tmp_path / "summary")
    assert line.startswith(sentence)
    assert line.endswith(" (run run-1 https://kfp.example/#/runs/details/run-1)")


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
def test_every_step_of_every_pipeline_is_looked_for(pipeline: Pipeline) -> None:
    assert [step for step in STEPS if step in pipeline.step_names] == list(pipeline.step_names)
    assert pipeline.step_names[-1] in TOLD
