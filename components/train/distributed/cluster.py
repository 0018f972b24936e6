"""Which worker of how many this process is: TF_CONFIG read, and written for a pod.

Source: https://www.tensorflow.org/guide/distributed_training#TF_CONFIG.
"""

import json
import os
import re
from dataclasses import dataclass
from typing import Any, Self

from components.shared.errors import StepError

EXPECTED = (
    'expected {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'
)
CHIEFS = ("chief", "master")  # by its older name
JOB = "node"  # Kubeflow Trainer's name for the job of a TrainJob that trains
PORT = 2222  # on which its pods listen
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?:\[[0-9A-Fa-f:.]{{2,45}}\]|{_NAME}):([0-9]{{1,5}})")


@dataclass(frozen=True)
class Cluster:
    """This process among the workers of a training job."""

    workers: tuple[str, ...]  # host:port of each; empty for a single process
    index: int

    @classmethod
    def from_environment(cls) -> Self:
        """Reads the environment variable TF_CONFIG; without it, this process is alone.

        Raises:
            StepError: TF_CONFIG is not of the form that training on several workers takes.
        """
        text = os.environ.get("TF_CONFIG", "")
        if not text.strip():
            return cls((), 0)
        try:
            config = json.loads(text)
            machines, task = config["cluster"], config["task"]
            role, index = task["type"], _index(task["index"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise StepError(f"TF_CONFIG: {EXPECTED}, got {text[:200]}") from None
        chiefs, workers = _workers(machines, role)
        offset = len(chiefs) if role == "worker" else 0
        if not 0 <= index < len(workers if role == "worker" else chiefs):
            raise StepError(
                f"TF_CONFIG: task {role} {index}, but it names {len(chiefs)} chiefs and "
                f"{len(workers)} workers"
            )
        return cls((*chiefs, *workers), index + offset)

    @property
    def tf_config(self) -> str:
        """TF_CONFIG as TensorFlow reads it: workers alone, of which the first is the chief."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": self.workers}, "task": task})

    @property
    def size(self) -> int:
        """Number of workers."""
        return max(1, len(self.workers))

    @property
    def chief(self) -> bool:
        """Whether this process writes what the others read."""
        return self.index == 0


def tf_config_of_pod(trainjob: str, nodes: int, index: int) -> str:
    """Returns TF_CONFIG of a pod of a TrainJob; Kubeflow Trainer has no runtime that would set it.

    JobSet names the pods of a replicated job ``<job set>-<job>-<replica>-<index>``, reached in the
    domain of its service ``<job set>``; the JobSet has the name of the TrainJob.

    Args:
        trainjob: Name of the TrainJob.
        nodes: Its number of pods.
        index: The pod's JOB_COMPLETION_INDEX.
    """
    if not 0 <= index < nodes:
        raise ValueError(f"JOB_COMPLETION_INDEX is {index}, expected 0 to {nodes - 1}")
    workers = [f"{trainjob}-{JOB}-0-{each}.{trainjob}:{PORT}" for each in range(nodes)]
    return Cluster(tuple(workers), index).tf_config


def split_address(address: str) -> tuple[str, int]:
    """Returns host and port of ``host:port``, an IPv6 host without its brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _index(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch("[0-9]{1,6}", value):
        return int(value)
    if type(value) is not int:
        raise TypeError(value)
    return value


def _workers(machines: Any, role: Any) -> tuple[list[str], list[str]]:
    """Returns the chief that is set apart, in a list of none or one, and the workers.

    Raises:
        StepError: An address is not one, or the job has roles that this training has no use for.
    """
    if role not in (*CHIEFS, "worker"):
        raise StepError(
            f"TF_CONFIG: task type {str(role)[:50]!r}, expected worker, chief or master: all "
            "workers train alike and the chief evaluates; start no other roles"
        )
    if not isinstance(machines, dict) or "ps" in machines:
        raise StepError(
            f"TF_CONFIG: {EXPECTED}; parameter servers (ps) have no place in it, since the workers "
            "hold the weights themselves"
        )
    chiefs = [_addresses(machines.get(name, []), name) for name in CHIEFS]
    workers = _addresses(machines.get("worker", []), "worker")
    chief = [*chiefs[0], *chiefs[1]]
    everybody = [*chief, *workers]
    if len(chief) > 1 or len(set(everybody)) < len(everybody):
        raise StepError("TF_CONFIG: names a worker twice or several chiefs, expected each once")
    return chief, workers


def _addresses(found: Any, role: str) -> list[str]:
    if not isinstance(found, list):
        raise StepError(
            f"TF_CONFIG: {role}: expected a list of host:port, got {str(found)[:100]!r}"
        )
    for address in found:
        matched = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if not matched or not 0 < int(matched[1]) < 65536:
            raise StepError(f"TF_CONFIG: {role}: expected host:port, got {str(address)[:100]!r}")
    return found
