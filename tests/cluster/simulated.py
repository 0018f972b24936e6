"""An installation that runs nothing: its runs end as Argo's own controller had them end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from components.shared.outcome import Outcome
from components.summary.run_summary import RunSummary
from components.summary.workflow import pods_of, steps_of, terminated
from pipeline.remote.cron import next_times
from tests.cluster.checks import TOO_LARGE
from tests.pipeline.remote.fake_kfp import FakeKfp, RefusedError, serving
from tests.workflows import with_failure, workflow

SAID = {
    "train": "Step 100: loss = 2.15 (0.0001 sec)",
}
PUBLISHED = Outcome(
    step="push",
    result="published",
    message="Published test-cluster version 1 to /tmp/registry/test-cluster/1",
    precision_at_1=0.903,
)
NOT_BLESSED = Outcome(
    step="evaluate",
    result="not blessed",
    message="Not blessed: test precision@1 0.9030 is below 1",
)
TOO_FEW = Outcome(
    step="train",
    result="failed",
    message="the training split has 55000 records, expected at least one batch",
)
ENDS = {"published": PUBLISHED, "not-blessed": NOT_BLESSED, "retried": TOO_FEW}


@dataclass
class Simulated(FakeKfp):
    """The server of an installation, with the logs and workflows of its runs."""

    kinds: dict[str, str] = field(default_factory=dict)  # how a run ends, by its id
    mute: bool = False  # the summary of an earlier version, which does not know how a run ended
    lock: Any = field(default_factory=threading.RLock)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """Returns the answer to a request, in JSON."""
        with self.lock:
            return self._answer(method, path, query, body)

    def _answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        parts = path.removeprefix(self.api).strip("/").split("/")
        match method, *parts:
            case "GET", "runs", run_id:
                return self._seen(run_id)
            case "POST", "runs", target if target.endswith(":terminate"):
                self._find(target.removesuffix(":terminate"))["state"] = "FAILED"
                return {}
            case "DELETE", "runs", run_id:
                self.runs.remove(self._find(run_id))
                return {}
            case "DELETE", "experiments", gone:
                self.experiments = [e for e in self.experiments if e["experiment_id"] != gone]
                return {}
            case "GET", "apis", "v1beta1", "runs", run_id:
                self.workflow = self._workflow(run_id)
            case "GET", "apis", "v1alpha1", "runs", run_id, "nodes", _, "log":
                self.logs = self._logs(run_id)
            case "GET", "runs":
                self._start_what_is_due()
        return super().answer(method, path, query, body)

    def _find(self, run_id: str) -> dict[str, Any]:
        for run in self.runs:
            if run["run_id"] == run_id:
                return run
        raise RefusedError(404, f"run {run_id} not found")

    def _kind(self, run_id: str) -> str:
        """Returns how a run ends, by what it is asked to do."""
        run = self._find(run_id)
        asked = run.get("runtime_config", {}).get("parameters", {})
        if "recurring_run_id" in run or asked["max_steps"] > 1_000_000:
            return "terminated"
        if asked["batch_size"] == TOO_LARGE:
            return "retried"
        return "not-blessed" if asked["min_precision"] == 1 else "published"

    def _seen(self, run_id: str) -> dict[str, Any]:
        run = self._find(run_id)
        kind = self._kind(run_id)
        if kind != "terminated":
            run["state"] = "FAILED" if kind == "retried" else "SUCCEEDED"
        state = run.setdefault("state", "RUNNING")
        return {"run_id": run_id, "created_at": "2026-01-01T00:00:00Z", "state": state}

    def _workflow(self, run_id: str) -> dict[str, Any]:
        scheduled = "inputs" in self._find(run_id)  # its ingest is not cached
        found = workflow("pod-deleted" if scheduled else self._kind(run_id))
        found["spec"] = {"activeDeadlineSeconds": 0} if self._kind(run_id) == "terminated" else {}
        if self._kind(run_id) == "retried":
            found = with_failure(found, TOO_FEW)
        found["metadata"]["labels"]["pipeline/runid"] = run_id
        if self._find(run_id).get("state") != "FAILED":
            found["spec"] = {}
        if self._kind(run_id) == "not-blessed":  # what it trains was trained before
            nodes = found["status"]["nodes"]
            for pod in pods_of(found, "train").values():
                del nodes[pod["id"]]
        return found

    def _logs(self, run_id: str) -> dict[str, str]:
        kind, found = self._kind(run_id), self._workflow(run_id)
        said = dict(SAID)
        inputs = self._find(run_id).get("inputs", {})
        said["ingest"] = f'  "until": "{inputs.get("ingest", {}).get("until", "")}"'
        logs = {pod: f"{line}\n" for step, line in said.items() for pod in pods_of(found, step)}
        outcomes = {}
        if end := ENDS.get(kind):
            outcomes = {node["id"]: end for node in pods_of(found, end.step).values()}
        ended = RunSummary.of(steps_of(found, outcomes), terminated(found))
        told = "The run is over" if self.mute else ended.sentence
        return logs | dict.fromkeys(pods_of(found, "summary"), f"{told} (run {run_id})\n")

    def _start_what_is_due(self) -> None:
        for each in self.recurring:
            if each["status"] == "ENABLED" and not any("inputs" in run for run in self.runs):
                cron = each["trigger"]["cron_schedule"]["cron"]
                due = next_times(cron, 1, datetime.now(UTC))[0]
                self.start(each, f"{due:%Y-%m-%dT%H:%M:%SZ}")


@contextmanager
def simulate() -> Iterator[Simulated]:
    """Runs the server on a free port."""
    with serving(Simulated()) as server:
        yield server
