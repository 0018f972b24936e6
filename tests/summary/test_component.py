"""The summary in a pod of a cluster, through its component: what the webhook is told."""

import base64
import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from kfp.dsl import PipelineTaskFinalStatus

from components.shared.environment import HEARTBEAT, WEBHOOK
from components.shared.outcome import Outcome
from components.summary import servers
from components.summary.component import summary
from tests.conftest import ROOT
from tests.summary.conftest import FakeCluster, Webhook
from tests.workflows import RUN, pods, recorded, with_failure, workflow

BLESSED = Outcome(
    step="evaluate",
    result="blessed",
    message="Blessed: all 6 rules hold, test precision@1 0.9890 (0.9868 to 0.9908)",
    precision_at_1=0.989,
)
NOT_BLESSED = Outcome(
    step="evaluate",
    result="not blessed",
    message="Not blessed: test precision@1 0.9030 is below 0.978 (and 1 more)",
    precision_at_1=0.903,
)
PUBLISHED = Outcome(
    step="push",
    result="published",
    message="Published digits version 3 to gs://bucket/registry/digits/3",
    precision_at_1=0.989,
    version=3,
    address="gs://bucket/registry/digits/3",
)
PREDICTED = Outcome(
    step="predict",
    result="predicted",
    message="Predicted 1,000 images with version 3 of digits",
    version=3,
)
QUIET = Outcome(step="watch", result="quiet", message="Quiet: all 5 rules hold for 1,000 images")
MOVED = (
    "mean grey value lies 6.814 from the training split's, above 0.1; retrain: "
    "python -m pipeline submit -p source=gs://bucket/mnist -p destination=gs://bucket/registry"
)
ALARM = Outcome(step="watch", result="alarm", message=f"Alarm: {MOVED}")
NOTHING_NEW = Outcome(
    step="predict",
    result="nothing new",
    message="Nothing new: no images in gs://bucket/incoming/2026-11-25",
)
NO_SOURCE = Outcome(step="ingest", result="failed", message="gs://data/nothing: not found")
NO_BATCH = Outcome(step="train", result="failed", message="the training split has 55 records")
# Of seven runs on a real backend, with what a log of theirs held: the webhook had none of it then.
RECORDED = {
    "published": (
        [BLESSED, PUBLISHED],
        "Run succeeded: published digits version 3 to gs://bucket/registry/digits/3, "
        "test precision@1 0.9890",
    ),
    "not-blessed": (
        [NOT_BLESSED],
        "Run succeeded, but the model is not blessed and not published: "
        "test precision@1 0.9030 is below 0.978 (and 1 more)",
    ),
    "failed": ([NO_SOURCE], "Run failed: ingest: gs://data/nothing: not found"),
    "retried": ([NO_BATCH], "Run failed: train: the training split has 55 records"),
    "quiet": (
        [PREDICTED, QUIET],
        "Run succeeded: predicted 1,000 images with version 3 of digits, nothing moved",
    ),
    "alarm": ([PREDICTED, ALARM], f"Run succeeded, but what came in has moved: {MOVED}"),
    "nothing-new": (
        [NOTHING_NEW],
        "Run succeeded: nothing new: no images in gs://bucket/incoming/2026-11-25",
    ),
}


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
        heartbeat="",
    )
    (message,) = webhook.received
    assert json.loads((directory / "summary").read_text())["run"] == RUN
    return str(message["text"])


@pytest.mark.parametrize(("version", "name"), recorded(RECORDED))
def test_the_webhook_is_told_what_came_of_the_run_and_why(
    cluster: FakeCluster, webhook: Webhook, tmp_path: Path, version: str, name: str
) -> None:
    outcomes, sentence = RECORDED[name]
    cluster.workflow = workflow(name, version)
    cluster.pods = pods(cluster.workflow, *outcomes)
    assert run(tmp_path, webhook) == f"{sentence} (run {RUN})"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("failed", "Run failed: ingest: Error (exit code 1)"),
        ("failed-plain", "Run failed: train: Error (exit code 1)"),
        ("retried", "Run failed: train: Error (exit code 1)"),
        ("oom", "Run failed: train: OOMKilled (exit code 1)"),
        ("timed-out", "Run timed out: train took longer than it may"),
        ("driver-failed", "Run failed: train: its driver: Error (exit code 1)"),
        ("terminated", "Run terminated during train"),
        ("published", "Run succeeded: published, where is not known, see the log of push"),
        (
            "not-blessed",
            "Run succeeded: not blessed and not published, why is not known, see the log of "
            "evaluate",
        ),
        (
            "quiet",
            "Run succeeded: predicted, whether anything moved is not known, see the log of watch",
        ),
        (
            "nothing-new",
            "Run succeeded: predicted, how many images is not known, see the log of predict",
        ),
    ],
)
def test_what_went_with_the_pods_is_said_to_be_lost(
    cluster: FakeCluster, webhook: Webhook, tmp_path: Path, name: str, sentence: str
) -> None:
    cluster.workflow = workflow(name)
    assert run(tmp_path, webhook) == f"{sentence} (run {RUN})"


def test_a_failure_outlives_its_pod_in_argos_message(
    cluster: FakeCluster, webhook: Webhook, tmp_path: Path
) -> None:
    cluster.workflow = with_failure(workflow("retried"), NO_BATCH)
    assert run(tmp_path, webhook).startswith(f"Run failed: train: {NO_BATCH.message} (run ")


def test_the_last_attempt_counts(cluster: FakeCluster, webhook: Webhook, tmp_path: Path) -> None:
    cluster.workflow = workflow("retried")
    first, second, last = (pods(cluster.workflow, each) for each in (_failed(n) for n in "123"))
    cluster.pods = [*first[:-2], *second[-2:-1], *last[-1:]]
    assert run(tmp_path, webhook).startswith("Run failed: train: attempt 3 (run ")


def _failed(number: str) -> Outcome:
    return Outcome(step="train", result="failed", message=f"attempt {number}")


def test_a_step_that_fails_after_its_report_has_the_clusters_reason(
    cluster: FakeCluster, webhook: Webhook, tmp_path: Path
) -> None:
    done = Outcome(step="ingest", result="done", message="Wrote train 55,000 examples")
    cluster.workflow = with_failure(workflow("failed"), done)
    cluster.pods = pods(cluster.workflow, done)
    assert run(tmp_path, webhook).startswith("Run failed: ingest: Error (exit code 1) (run ")


def test_the_nodes_of_a_large_workflow_are_compressed(
    cluster: FakeCluster, webhook: Webhook, tmp_path: Path
) -> None:
    cluster.workflow = workflow("published")
    cluster.pods = pods(cluster.workflow, PUBLISHED)
    status = cluster.workflow["status"]
    nodes = json.dumps(status.pop("nodes")).encode()
    status["compressedNodes"] = base64.b64encode(gzip.compress(nodes)).decode()
    assert run(tmp_path, webhook).startswith("Run succeeded: published digits version 3 to gs://")


def test_pods_named_by_their_nodes_id_are_read_too(
    cluster: FakeCluster, webhook: Webhook, tmp_path: Path
) -> None:
    cluster.workflow = workflow("published")
    cluster.workflow["metadata"]["annotations"]["workflows.argoproj.io/pod-name-format"] = "v1"
    cluster.pods = pods(cluster.workflow, BLESSED, PUBLISHED)
    assert all(
        pod["metadata"]["name"] in cluster.workflow["status"]["nodes"] for pod in cluster.pods
    )
    assert run(tmp_path, webhook).startswith("Run succeeded: published digits version 3 to gs://")


def test_the_webhook_may_be_a_secret_in_the_environment(
    cluster: FakeCluster, webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.workflow = workflow("terminated")
    monkeypatch.setenv(WEBHOOK, webhook.address)
    summary.python_func(
        status=PipelineTaskFinalStatus("FAILED", "mnist-x7k2p", "exit-handler-1", None, None),
        summary=SimpleNamespace(path=str(tmp_path / "summary")),
        **{"run_id": RUN, "run_page": "", "source": "data", "destination": "", "webhook": ""},
        heartbeat="",
    )
    assert webhook.received == [{"text": f"Run terminated during train (run {RUN})"}]


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
        (
            "workflows",
            "Run succeeded; more is not known: the Kubernetes API does not list workflows: it "
            "answered 403; deploy/rbac.yaml has the rights it takes",
        ),
        ("pods", "Run succeeded: published, where is not known, see the log of push"),
    ],
)
def test_what_may_not_be_read_is_left_out(
    cluster: FakeCluster,
    webhook: Webhook,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    forbidden: str,
    sentence: str,
) -> None:
    cluster.workflow = workflow("published")
    cluster.pods = pods(cluster.workflow, PUBLISHED)
    cluster.forbidden = forbidden
    assert run(tmp_path, webhook, "COMPLETE").startswith(sentence)
    assert f"does not list {forbidden}: it answered 403" in capsys.readouterr().out


def test_the_role_allows_what_the_summary_reads(
    cluster: FakeCluster, webhook: Webhook, tmp_path: Path
) -> None:
    cluster.workflow = workflow("published")
    run(tmp_path, webhook)
    manifests = yaml.safe_load_all((ROOT / "deploy" / "rbac.yaml").read_text())
    role, binding = (each for each in manifests if each["metadata"]["name"] == "mnist-summary")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert all(rule["verbs"] == ["list"] for rule in role["rules"])
    assert {rule["resources"][0] for rule in role["rules"]} == set(cluster.listed)


def test_a_run_without_a_workflow_is_told_too(
    cluster: FakeCluster, webhook: Webhook, tmp_path: Path
) -> None:
    assert run(tmp_path, webhook).startswith(
        "Run over; more is not known: the Kubernetes API has no workflow of the run"
    )


def test_an_answer_without_end_is_none(
    cluster: FakeCluster, webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "LARGEST", 1_000)
    cluster.workflow = workflow("published")
    assert "the answer has more than 1,000 bytes" in run(tmp_path, webhook)


@pytest.mark.parametrize(
    ("name", "beats"),
    [("quiet", 1), ("alarm", 1), ("not-blessed", 1), ("nothing-new", 1), ("failed", 0), ("oom", 0)],
)
@pytest.mark.parametrize("secret", [False, True])
def test_a_heartbeat_is_called_after_a_success_and_else_it_is_missing(
    cluster: FakeCluster,
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    beats: int,
    secret: bool,
) -> None:
    cluster.workflow = workflow(name)
    monkeypatch.setenv(HEARTBEAT, webhook.address if secret else "")
    summary.python_func(
        status=PipelineTaskFinalStatus("RUNNING", "predict-x7k2p", "exit-handler-1", None, None),
        summary=SimpleNamespace(path=str(tmp_path / "summary")),
        **{"run_id": RUN, "run_page": "", "source": "data", "destination": "", "webhook": ""},
        heartbeat="" if secret else webhook.address,
    )
    assert len(webhook.received) == beats
