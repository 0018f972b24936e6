"""A run as Argo's workflow has it: what became of each step.

A node's name is the path to it, as ``mnist-x7k2p.root.exit-handler-1.train.executor(0)``: within a
step's group are its driver, which resolves inputs, and its executor, the step itself. Where the
installation retries groups, each part can have a number of its own.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from components.summary.outcome import FAILED, Step

# Of all pipelines, each in its order.
STEPS = ("ingest", "train", "evaluate", "push", "predict", "watch")
TOLD = ("evaluate", "push", "predict", "watch")  # whose last lines say what came of the run

ReadLog = Callable[[str], str]  # takes a pod's name


def steps_of(workflow: Mapping[str, Any], read_log: ReadLog) -> list[Step]:
    """Returns the steps that started, in the pipeline's order.

    Args:
        workflow: The Workflow, as Kubernetes has it.
        read_log: Reads the log of a step's container; empty where there is none any more.
    """
    nodes = sorted((workflow["status"].get("nodes") or {}).values(), key=_started)
    return [step for name in STEPS for step in _step(workflow, nodes, name, read_log)]


def terminated(workflow: Mapping[str, Any]) -> bool:
    """Returns whether somebody ended the run: the backend does that by a deadline of zero."""
    return workflow["spec"].get("activeDeadlineSeconds") == 0


def _started(node: Mapping[str, Any]) -> str:
    return str(node.get("startedAt") or "")


def _path(node: Mapping[str, Any]) -> list[str]:
    return re.sub(r"\(\d+\)", "", node["name"]).split(".")


def _step(
    workflow: Mapping[str, Any], nodes: list[Mapping[str, Any]], name: str, read_log: ReadLog
) -> list[Step]:
    phases = {node["displayName"]: node["phase"] for node in nodes}
    driver = phases.get(f"{name}-driver", "")
    # Where its driver fails, a step is omitted, as are those after it.
    phase = driver if driver in FAILED else phases.get(name, "Omitted")
    if phase in ("Omitted", "Skipped"):
        return []
    whose = f"{name}-driver" if driver in FAILED else name
    attempts = pods_of(workflow, whose)
    if not attempts:  # it was cached, or has not started yet
        return [Step(name, phase)]
    last, node = list(attempts.items())[-1]
    told = whose in TOLD or phase in FAILED
    log = read_log(last).splitlines() if told else []
    reason = node.get("message", "").removeprefix("main: ") if phase in FAILED else ""
    return [Step(name, phase, f"its driver: {reason}" if driver in FAILED else reason, log)]


def pods_of(workflow: Mapping[str, Any], name: str) -> dict[str, Mapping[str, Any]]:
    """Returns the pods of a step, or of its driver, by their names, one an attempt.

    Argo names them by the workflow, the template and the end of the node's id.
    """
    nodes = sorted((workflow["status"].get("nodes") or {}).values(), key=_started)
    mine = [node for node in nodes if node["type"] == "Pod" and name in _path(node)]
    start = workflow["metadata"]["name"]
    return {f"{start}-{n['templateName']}-{n['id'].rpartition('-')[2]}": n for n in mine}
