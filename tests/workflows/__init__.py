"""Argo's workflows and their pods, by how the run ends; a directory for each version of KFP.

Each is what was left of a run, cut to what is read here: ``make test-cluster`` with ``--record``
writes those of another version. ``2.17`` is of Kubeflow Pipelines 2.17.0 and Argo 4.0.7 on
Kubernetes 1.34. Two are of Argo 4.0.5 with pods that ended as told: ``driver-failed``, and
``failed-plain``, without the defaults of Kubeflow Pipelines, which retry groups too.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from components.shared.outcome import Outcome
from components.summary.workflow import pods_of

RUN = "6f1c3c55-5a1e-4b8c-9b64-3a1f6f0d2c11"
HERE = Path(__file__).parent
VERSION = (
    "2.17"  # the one that the tests go through; others have the ends that make test-cluster has
)
# What is read of a workflow. Inputs of nodes are not kept: they hold what a run was given.
METADATA = ("name", "namespace")
NODE = (
    *("id", "name", "displayName", "type", "phase", "templateName", "message"),
    *("startedAt", "finishedAt"),
)


def workflow(name: str, version: str = VERSION) -> dict[str, Any]:
    """Returns a workflow of the run ``RUN``."""
    path = HERE / version / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def recorded(names: Iterable[str]) -> list[tuple[str, str]]:
    """Returns which versions have recorded which of some workflows: version and name."""
    paths = (path for path in HERE.glob("*/*.json") if path.stem in set(names))
    return sorted((path.parent.name, path.stem) for path in paths)


def record(found: dict[str, Any], name: str, directory: Path) -> None:
    """Writes a workflow for :func:`workflow`, cut to what is read and as one of the run ``RUN``."""
    metadata, status = found["metadata"], found["status"]
    pod_names = "workflows.argoproj.io/pod-name-format"
    annotations = metadata.get("annotations", {})
    deadline = found["spec"].get("activeDeadlineSeconds")
    cut = {
        "metadata": {
            **_of(metadata, METADATA),
            "labels": {"pipeline/runid": RUN},
            "annotations": _of(annotations, [pod_names]),
        },
        "spec": {} if deadline is None else {"activeDeadlineSeconds": deadline},
        "status": {
            **_of(status, ("phase", "message")),
            "nodes": {key: _of(node, NODE) for key, node in status["nodes"].items()},
        },
    }
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(cut, indent=1) + "\n"
    (directory / f"{name}.json").write_text(text, encoding="utf-8")


def _of(found: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: found[name] for name in names if name in found}


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
