"""An installation that runs nothing: its runs end as a real backend's did."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from components.registry.state import Validation, VersionManifest
from components.registry.storage import Digest
from components.shared.outcome import Outcome
from components.summary.run_summary import RunSummary
from components.summary.workflow import pods_of, steps_of, terminated
from pipeline.remote.client import FINISHED
from pipeline.remote.cron import next_times
from tests.cluster.checks import TOO_LARGE
from tests.cluster.installation import LONG
from tests.pipeline.remote.fake_kfp import FakeKfp, RefusedError, serving
from tests.workflows import with_failure, workflow

# What the API server answers, with status 200, for the log of a pod that runs; shortened.
NO_LOG = {
    "error_message": "BadRequestError: Failed to read logs for run a2e8f16f: "
    "InternalServerError: Failed to read logs from archive due to error fetching the log file",
    "error_details": "NoSuchKey: The specified key does not exist.",
}
ENDS = {  # how a run ends: the workflow of a real one, and what its steps report
    "published": Outcome(
        step="push",
        result="published",
        message="Published {name} version {version} to {destination}/{name}/{version}",
        precision_at_1=0.903,
    ),
    "not-blessed": Outcome(
        step="evaluate",
        result="not blessed",
        message="Not blessed: test precision@1 0.9030 is below 1",
    ),
    "retried": Outcome(
        step="train",
        result="failed",
        message="the training split has 55000 records, expected at least one batch",
    ),
    "quiet": Outcome(
        step="predict", result="predicted", message="Predicted 10,000 images with version 1"
    ),
    "alarm": Outcome(step="watch", result="alarm", message="Alarm: the grey values moved"),
    "nothing-new": Outcome(
        step="predict", result="nothing new", message="Nothing new: no images in {source}"
    ),
}
QUIET = Outcome(step="watch", result="quiet", message="Quiet: all 5 rules hold")
LOOKS = {"short": 3, "long": 60}  # at a run until it is over


@dataclass
class Simulated(FakeKfp):
    """The server of an installation, with the workflows, logs and pods of its runs."""

    faults: set[str] = field(default_factory=set)  # unpaused, anew, uncached, other weights, deaf
    lock: Any = field(default_factory=threading.RLock)
    deleted: set[str] = field(default_factory=set)  # runs whose training pod was

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """Returns the answer to a request, in JSON."""
        with self.lock:
            return self._answer(method, path, query, body)

    def _answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        parts = path.removeprefix(self.api).strip("/").split("/")
        match method, *parts:
            case "GET", "kubectl":
                return self._kubectl(query["arguments"].split())
            case "GET", "runs", run_id:
                return self._look(self._find(run_id))
            case "POST", "runs", target if target.endswith(":terminate"):
                run = self._find(target.removesuffix(":terminate"))
                if run.get("state") in (*FINISHED, "CANCELING"):
                    raise RefusedError(400, "Failed to terminate a run: it is being cancelled")
                run["state"] = "CANCELING"
                return {}
            case "DELETE", "runs", run_id:
                self.runs.remove(self._find(run_id))
                return {}
            case "DELETE", "experiments", gone:
                self.experiments = [e for e in self.experiments if e["experiment_id"] != gone]
                return {}
            case "GET", "apis", "v1beta1", "runs", run_id:
                self.workflow = self._workflow(self._find(run_id))
            case "GET", "apis", "v1alpha1", "runs", run_id, "nodes", pod, "log":
                return self._log_of(self._find(run_id), pod)
            case "GET", "runs":
                (predicate,) = json.loads(query["filter"])["predicates"]
                self._start_what_is_due(predicate["stringValue"])
                for run in self._runs_of(query):
                    self._look(run)
        return super().answer(method, path, query, body)

    def _find(self, run_id: str) -> dict[str, Any]:
        for run in self.runs:
            if run["run_id"] == run_id:
                return run
        raise RefusedError(404, f"run {run_id} not found")

    def _kind(self, run: dict[str, Any]) -> str:
        """Returns how a run ends, by what it is asked to do."""
        asked = run.get("runtime_config", {}).get("parameters", {})
        if inputs := run.get("inputs"):
            return "published" if "train" in inputs else "quiet"
        if "max_steps" not in asked:
            return (
                "nothing-new" if "until" in asked else "alarm" if "transpose" in asked else "quiet"
            )
        if asked["batch_size"] == TOO_LARGE:
            return "retried"
        return "not-blessed" if asked["min_precision"] == 1 else "published"

    def _look(self, run: dict[str, Any]) -> dict[str, Any]:
        """Returns a run as the API shows it; it is further at every look."""
        asked = run.get("runtime_config", {}).get("parameters", {})
        long = asked.get("max_steps") == LONG["max_steps"] or "train" in run.get("inputs", {})
        long = long and self._kind(run) != "retried"
        run["looks"] = run.get("looks", 0) + 1
        if run.get("state") == "CANCELING":
            run["cancelled"] = run.get("cancelled", 0) + 1
            if run["cancelled"] > 1:
                run["state"] = "FAILED"
                self._over(run)
        elif run.get("state") not in FINISHED:
            run["state"] = "RUNNING"
            if run["looks"] > LOOKS["long" if long else "short"]:
                run["state"] = "FAILED" if self._kind(run) == "retried" else "SUCCEEDED"
                self._over(run)
        return {name: run[name] for name in ("run_id", "created_at", "state")}

    def _over(self, run: dict[str, Any]) -> None:
        """Publishes what a run publishes, and has its summary tell the webhook."""
        asked = run.get("runtime_config", {}).get("parameters", {})
        destination = Path(str(asked.get("destination", "")))
        if self._kind(run) == "published" and run["state"] == "SUCCEEDED" and destination.is_dir():
            run["version"] = len(list(destination.glob("*/*"))) + 1
            _publish(destination / asked["model_name"], run, "other weights" in self.faults)
        if (webhook := asked.get("webhook")) and "deaf" not in self.faults:
            requests.post(webhook, json={"text": self._line(run)}, timeout=5)

    def _workflow(self, run: dict[str, Any]) -> dict[str, Any]:
        state, kind = run.get("state", "RUNNING"), self._kind(run)
        over = state in FINISHED
        if "cancelled" in run or state == "CANCELING":
            found = workflow("terminated")
        elif over:
            found = (
                with_failure(workflow(kind), ENDS[kind]) if kind == "retried" else workflow(kind)
            )
        elif "train" in run.get("inputs", {}) or run["run_id"] in self.deleted:
            found = _at(workflow("pod-deleted"), "train", "Running")
        elif kind in ("quiet", "alarm", "nothing-new"):
            found = workflow("scheduled")
        else:
            phase = "Pending" if kind == "retried" else "Running"
            found = _at(workflow("terminated"), "train", phase)
            found["spec"] = {}
        if kind == "not-blessed" and "uncached" in self.faults:  # it trains, as it evaluates
            (pod,) = pods_of(found, "evaluate").values()
            trained = {**pod, "id": "trained-1", "name": pod["name"].replace("evaluate", "train")}
            found["status"]["nodes"]["trained-1"] = trained
        found["metadata"]["labels"]["pipeline/runid"] = run["run_id"]
        for step, given in run.get("inputs", {}).items():
            if step in ("ingest", "predict"):
                _give(found, step, given)
        return found

    def _line(self, run: dict[str, Any]) -> str:
        kind, found = self._kind(run), self._workflow(run)
        asked = run.get("runtime_config", {}).get("parameters", {})
        names = {"name": asked.get("model_name"), "version": run.get("version", 1), **asked}
        ends = [ENDS[kind].model_copy(update={"message": ENDS[kind].message.format(**names)})]
        ends += [QUIET] if kind == "quiet" else []
        outcomes = {node["id"]: end for end in ends for node in pods_of(found, end.step).values()}
        ended = RunSummary.of(steps_of(found, outcomes), terminated(found))
        return f"{ended.sentence} (run {run['run_id']})"

    def _log_of(self, run: dict[str, Any], pod: str) -> Any:
        if run.get("state") not in FINISHED:
            return NO_LOG
        if pod not in pods_of(self._workflow(run), "summary"):
            return "I1125 00:51:03.481126      21 launcher_v2.go:151] publish success.\n"
        return (
            f"[KFP Executor INFO]: …\n{self._line(run)}\n" + "I1125 launcher_v2.go:151] …\n" * 500
        )

    def _kubectl(self, arguments: list[str]) -> str:
        runs = {name: run for run in self.runs for name in pods_of(self._workflow(run), "train")}
        match arguments[2:]:
            case "delete", "pod", name, "--wait=false":
                self.deleted.add(runs[name]["run_id"])
            case "logs", name, "-c", "main":
                again = runs[name]["run_id"] in self.deleted and "anew" not in self.faults
                begin = "Going on from /workspace/train/ckpt-400\n" if again else ""
                return f"{begin}Data: 55,000\nStep 1000: loss = 0.31 (0.0003 sec)\n"
        return ""

    def _start_what_is_due(self, schedule: str) -> None:
        for each in [one for one in self.recurring if one["recurring_run_id"] == schedule]:
            mine = [r for r in self.runs if r.get("recurring_run_id") == each["recurring_run_id"]]
            going_on = any(run["state"] not in FINISHED for run in mine)
            # Two that nobody wants: one that is ended since it is taken to be of before the pause.
            unpaused = "unpaused" in self.faults and not going_on and len(mine) < 3
            if not mine if each["status"] == "ENABLED" else unpaused:
                cron = each["trigger"]["cron_schedule"]["cron"]
                due = next_times(cron, 1, datetime.now(UTC))[0]
                self.start(each, f"{due:%Y-%m-%dT%H:%M:%SZ}")


def _at(found: dict[str, Any], step: str, phase: str) -> dict[str, Any]:
    """Has the last pod of a step be in a phase."""
    pod = list(pods_of(found, step).values())[-1]
    found["status"]["nodes"][pod["id"]]["phase"] = phase
    return found


def _give(found: dict[str, Any], step: str, given: dict[str, Any]) -> None:
    """Has a step's pods get their parameters as a real backend gives them."""
    executor_input = json.dumps({"inputs": {"parameterValues": given}})
    command = ["/kfp-launcher/launch", "--executor_input", executor_input]
    patch = json.dumps({"containers": [{"name": "main", "command": command}]})
    for pod in pods_of(found, step).values():
        node = found["status"]["nodes"][pod["id"]]
        node["inputs"] = {"parameters": [{"name": "pod-spec-patch", "value": patch}]}


def _publish(registry: Path, run: dict[str, Any], other: bool) -> None:
    """Writes the manifest of a version, with digests as of weights."""
    version, digit = run["version"], str(run["version"] % 10) if other else "0"
    digest = Digest(size=1, sha256=digit * 64, crc32c="AAAAAA==")
    directory = registry / str(version)
    directory.mkdir(parents=True)
    (directory / "saved_model.pb").touch()  # by which a version is known
    VersionManifest(
        version=version,
        run_id=run["run_id"],
        created="2026-11-28T16:00:00+00:00",
        model_sha256="0" * 64,
        precision_at_1=0.903,
        validation=Validation(samples=1, largest_difference=0, latency_ms={}, size_bytes=1),
        files={"variables/variables.index": digest, "saved_model.pb": digest},
    ).write(directory)


@contextmanager
def simulate() -> Iterator[Simulated]:
    """Runs the server on a free port."""
    with serving(Simulated()) as server:
        yield server
