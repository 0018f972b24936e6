"""The summary in a pod of a cluster, through its component: what the webhook is told."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from kfp.dsl import PipelineTaskFinalStatus

from components.summary.component import summary
from components.summary.workflow import pods_of
from tests.summary.conftest import FakeCluster, Webhook
from tests.workflows import RUN, workflow

BLESSED = "Blessed: all 6 rules hold, test precision@1 0.9890 (0.9868 to 0.9908)"
NOT_BLESSED = "Not blessed: test precision@1 0.9030 is below 0.978 (and 1 more)"
PUBLISHED = "Published digits version 3 to gs://bucket/registry/digits/3"
PREDICTED = "Predicted 1,000 images with version 3 of digits"
MOVED = (
    "mean ink lies 6.814 from the training split's, above 0.1; retrain: "
    "python -m pipeline submit -p source=gs://bucket/mnist -p destination=gs://bucket/registry"
)
# What KFP's launcher and executor print around what a step itself does.
AROUND = (
    "[KFP Executor 2026-11-25 00:50:42,017 INFO]: Got executor_input:",
    "I1125 00:51:03.481126      21 launcher_v2.go:151] publish success.",
)


def run(directory: Path, webhook: Webhook, state: str = "RUNNING", run_page: str = "") -> str:
    """Runs the component as the backend does and returns what the webhook was told."""
    summary.python_func(
        status=PipelineTaskFinalStatus(state, "mnist-x7k2p", "exit-handler-1", None, None),
        summary=SimpleNamespace(path=str(directory / "summary")),
        run_id=RUN,
        run_page=run_page,
        source="gs://bucket/mnist",
        destination="gs://bucket/registry",
        webhook=webhook.address,
    )
    (message,) = webhook.received
    assert json.loads((directory / "summary").read_text())["run"] == RUN
    return str(message["text"])


def logs(name: str, **lines: str) -> dict[str, str]:
    """The logs of a run's pods, each with the line that a step prints."""
    found: dict[str, str] = {}
    for step, line in lines.items():
        log = "\n".join([AROUND[0], "…", line, AROUND[1]]) + "\n"
        found |= dict.fromkeys(pods_of(workflow(name), step), log)
    return found


@pytest.mark.parametrize(
    ("name", "lines", "sentence"),
    [
        (
            "published",
            {"evaluate": BLESSED, "push": PUBLISHED},
            "Run succeeded: published digits version 3 to gs://bucket/registry/digits/3, "
            "test precision@1 0.9890",
        ),
        (
            "not-blessed",
            {"evaluate": NOT_BLESSED},
            "Run succeeded, but the model is not blessed and not published: "
            "test precision@1 0.9030 is below 0.978 (and 1 more)",
        ),
        (
            "failed",
            {"train": "error: the loss is nan at step 100"},
            "Run failed: train: the loss is nan at step 100",
        ),
        (
            "failed-plain",
            {"train": "error: the loss is nan at step 100"},
            "Run failed: train: the loss is nan at step 100",
        ),
        ("failed", {}, "Run failed: train: Error (exit code 1)"),
        ("oom", {"train": "Step 100: loss = 2"}, "Run failed: train: OOMKilled (exit code 137)"),
        ("timed-out", {}, "Run timed out: train took longer than it may"),
        ("driver-failed", {}, "Run failed: train: its driver: Error (exit code 1)"),
        ("terminated", {}, "Run terminated during train"),
        (
            "watched",
            {"predict": PREDICTED, "watch": "Quiet: all 5 rules hold for 1,000 images"},
            "Run succeeded: predicted 1,000 images with version 3 of digits, nothing moved",
        ),
        (
            "watched",
            {"predict": PREDICTED, "watch": f"Alarm: {MOVED}"},
            f"Run succeeded, but what came in has moved: {MOVED}",
        ),
        (
            "watched",
            {"predict": PREDICTED},
            "Run succeeded: predicted 1,000 images with version 3 of digits; whether anything "
            "moved is not known, see the log of watch",
        ),
        (
            "nothing-new",
            {"predict": "Nothing new: no images in gs://bucket/incoming/{date}, 2026-11-25"},
            "Run succeeded: nothing new: no images in gs://bucket/incoming/{date}, 2026-11-25",
        ),
    ],
)
def test_the_webhook_is_told_the_truth(
    cluster: FakeCluster,
    webhook: Webhook,
    tmp_path: Path,
    name: str,
    lines: dict[str, str],
    sentence: str,
) -> None:
    cluster.workflow = workflow(name)
    cluster.logs = logs(name, **lines)
    assert run(tmp_path, webhook) == f"{sentence} (run {RUN})"


def test_the_runs_page_is_told_where_it_is_given(
    cluster: FakeCluster, webhook: Webhook, tmp_path: Path
) -> None:
    cluster.workflow = workflow("terminated")
    page = "https://kfp.example/#/runs/details/{run}"
    told = run(tmp_path, webhook, run_page=page)
    assert told.endswith(f"(run {RUN} https://kfp.example/#/runs/details/{RUN})")


@pytest.mark.parametrize(
    ("forbidden", "sentence"),
    [
        (("workflows",), "Run succeeded; more is not known: the Kubernetes API answered 403"),
        (("log",), "Run succeeded: published"),
    ],
)
def test_what_may_not_be_read_is_left_out(
    cluster: FakeCluster,
    webhook: Webhook,
    tmp_path: Path,
    forbidden: tuple[str, ...],
    sentence: str,
) -> None:
    cluster.workflow = workflow("published")
    cluster.forbidden = forbidden
    assert run(tmp_path, webhook, "COMPLETE").startswith(sentence)


def test_a_run_without_a_workflow_is_told_too(
    cluster: FakeCluster, webhook: Webhook, tmp_path: Path
) -> None:
    assert run(tmp_path, webhook).startswith("Run over; more is not known: no workflow of the run")
