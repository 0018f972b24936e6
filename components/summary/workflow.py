"""A run as Argo's workflow has it: what became of each step.

A node's name is the path to it, as ``mnist-x7k2p.root.exit-handler-1.train.executor(0)``: within a
step's group are its driver, which resolves inputs, and its executor, the step itself. Where the
installation retries groups, each part can have a number of its own.
"""

import base64
import gzip
import json
import re
from collections.abc import Mapping
from typing import Any

from components.shared.outcome import Outcome
from components.summary.run_summary import FAILED, StepState

# Of all pipelines, each in its order.
STEPS = ("ingest", "train", "tune", "evaluate", "push", "predict", "watch", "retrain")
DRIVER = "-driver"
POD_NAMES = "workflows.argoproj.io/pod-name-format"

Node = Mapping[str, Any]


def steps_of(
    workflow: Mapping[str, Any], outcomes: Mapping[str, Outcome] | None = None
) -> list[StepState]:
    """Returns the steps that started, in the pipeline's order, then what else failed.

    Args:
        workflow: The Workflow, as Kubernetes has it.
        outcomes: What the steps say came of them, by the id of their node. Of a step that failed,
            Argo's message has it too.
    """
    nodes = _nodes(workflow)
    phases = {node["displayName"]: node["phase"] for node in nodes}
    found = [step for name in STEPS if (step := _step(nodes, phases, name, outcomes or {}))]
    for name, phase in phases.items():
        group = name.removesuffix(DRIVER)
        if group != name and group not in STEPS and phase in FAILED:
            found.append(StepState(name, phase, _reason(_attempts(nodes, name))))
    status = workflow["status"]
    if status.get("phase") in FAILED and not any(step.phase in FAILED for step in found):
        message = status.get("message", "")
        found.append(StepState("the workflow", status["phase"], message))
    return found


def terminated(workflow: Mapping[str, Any]) -> bool:
    """Returns whether somebody ended the run: the backend does that by a deadline of zero."""
    return workflow["spec"].get("activeDeadlineSeconds") == 0


def pods_of(workflow: Mapping[str, Any], name: str) -> dict[str, Node]:
    """Returns the nodes of a step's pods, or of its driver's, by the pods' names, one an attempt.

    Argo names a pod by its node's id (version 1, KFP 3.0), or by the workflow, the template and the
    end of that id.
    """
    about = workflow["metadata"]
    attempts = _attempts(_nodes(workflow), name)
    if about.get("annotations", {}).get(POD_NAMES) == "v1":
        return {node["id"]: node for node in attempts}
    start = about["name"]
    return {f"{start}-{n['templateName']}-{n['id'].rpartition('-')[2]}": n for n in attempts}


def pending_pods(workflow: Mapping[str, Any]) -> dict[str, str]:
    """Returns what Kubernetes says of pods that have not started yet, by step or driver.

    That is, for instance, ``ImagePullBackOff: …``, or ``Unschedulable: 0/1 nodes are available: 1
    Insufficient cpu…``.
    """
    pending = [n for n in _nodes(workflow) if n["type"] == "Pod" and n["phase"] == "Pending"]
    found = {}
    for node in pending:
        steps = [name for name in _path(node) if name in (*STEPS, "summary")]
        found[steps[0] if steps else _path(node)[-1]] = str(node.get("message") or "")
    return found


def _nodes(workflow: Mapping[str, Any]) -> list[Node]:
    """Returns the nodes, the earliest first; Argo compresses more than a megabyte of them."""
    status = workflow["status"]
    nodes = status.get("nodes") or {}
    if compressed := status.get("compressedNodes"):
        nodes = json.loads(gzip.decompress(base64.b64decode(compressed)))
    return sorted(nodes.values(), key=lambda node: str(node.get("startedAt") or ""))


def _attempts(nodes: list[Node], name: str) -> list[Node]:
    """Returns the pods of a step, or of its driver."""
    return [node for node in nodes if node["type"] == "Pod" and name in _path(node)]


def _path(node: Node) -> list[str]:
    return re.sub(r"\(\d+\)", "", node["name"]).split(".")


def _step(
    nodes: list[Node], phases: Mapping[str, str], name: str, outcomes: Mapping[str, Outcome]
) -> StepState | None:
    driver = phases.get(f"{name}{DRIVER}", "")
    if driver in FAILED:  # the step is omitted then, as are those after it
        reason = _reason(_attempts(nodes, f"{name}{DRIVER}"))
        return StepState(name, driver, f"its driver: {reason}" if reason else "its driver")
    phase = phases.get(name, "Omitted")
    if phase in ("Omitted", "Skipped"):
        return None
    attempts = _attempts(nodes, name)
    if not attempts:  # it was cached, or has not started yet
        return StepState(name, phase)
    outcome = outcomes.get(attempts[-1]["id"]) or _split(attempts[-1])[1]
    return StepState(name, phase, _reason(attempts) if phase in FAILED else "", outcome)


def _reason(attempts: list[Node]) -> str:
    return _split(attempts[-1])[0] if attempts else ""


def _split(node: Node) -> tuple[str, Outcome | None]:
    """Splits Argo's message into the cluster's reason and the step's termination message.

    They stand in it as ``main: Error (exit code 1): {"step": …}``.
    """
    message = re.sub(r"^(main|wait|init): ", "", node.get("message", ""))
    reason, _, rest = message.partition(": {")
    outcome = Outcome.parse("{" + rest)
    return (reason, outcome) if outcome else (message, None)
