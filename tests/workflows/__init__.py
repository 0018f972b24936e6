"""Argo's workflows and their pods, by how the run ends.

Each is what Kubeflow Pipelines 2.17.0 and Argo 4.0.7 left of a run on Kubernetes 1.34, cut to what
is read here. Two are of Argo 4.0.5 with pods that ended as told: ``driver-failed``, and
``failed-plain``, without the defaults of Kubeflow Pipelines, which retry groups too.
"""

import json
from pathlib import Path
from typing import Any

from components.shared.outcome import Outcome
from components.summary.workflow import pods_of

RUN = "6f1c3c55-5a1e-4b8c-9b64-3a1f6f0d2c11"


def workflow(name: str) -> dict[str, Any]:
    """Returns a workflow of the run ``RUN``."""
    path = Path(__file__).with_name(f"{name}.json")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def with_failure(found: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    """Has Argo's messages say what a failed step reported: they hold its termination message."""
    text = outcome.text
    for node in pods_of(found, outcome.step).values():
        found["status"]["nodes"][node["id"]]["message"] += f": {text}"
    return found


def pods(found: dict[str, Any], *outcomes: Outcome) -> list[dict[str, Any]]:
    """Returns the pods of a workflow, as Kubernetes lists them, with what their steps reported."""
    by_step = {outcome.step: outcome for outcome in outcomes}
    listed = []
    for step in ("root-driver", "ingest", "train", "evaluate", "push", "predict", "watch"):
        for name, node in pods_of(found, step).items():
            listed.append(_pod(name, node, by_step.get(step), found["metadata"]["labels"]))
    return listed


def _pod(name: str, node: Any, outcome: Outcome | None, labels: dict[str, str]) -> dict[str, Any]:
    message = {"message": outcome.text} if outcome else {}
    ended = {"main": {"exitCode": 0, "reason": "Completed", **message}, "wait": {"exitCode": 0}}
    statuses = [{"name": name, "state": {"terminated": state}} for name, state in ended.items()]
    annotations = {
        "workflows.argoproj.io/node-id": node["id"],
        "workflows.argoproj.io/node-name": node["name"],
    }
    return {
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "status": {"phase": node["phase"], "containerStatuses": statuses},
    }
