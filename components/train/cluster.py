"""Which worker of how many this process is, as TF_CONFIG says; without TensorFlow.

Source: https://www.tensorflow.org/guide/distributed_training#TF_CONFIG.
"""

import json
import os
from dataclasses import dataclass
from typing import Self

from components.shared.errors import StepError
from components.shared.manifests import Shard


@dataclass(frozen=True)
class Cluster:
    """This process among the workers of a training job."""

    workers: tuple[str, ...]  # host:port of each; empty for a single process
    index: int

    @classmethod
    def from_environment(cls) -> Self:
        """Reads the environment variable TF_CONFIG; without it, this process is alone.

        Raises:
            StepError: TF_CONFIG is no JSON, or names no worker that could be this process.
        """
        text = os.environ.get("TF_CONFIG", "")
        if not text:
            return cls((), 0)
        try:
            config = json.loads(text)
            found = config["cluster"]
            # An older TF_CONFIG sets the chief apart; it is the first of the workers.
            workers = (*found.get("chief", []), *found["worker"])
            offset = len(found.get("chief", [])) if config["task"]["type"] == "worker" else 0
            index = int(config["task"]["index"]) + offset
        except (ValueError, KeyError, TypeError, AttributeError):
            raise StepError(
                'TF_CONFIG: expected {"cluster": {"worker": ["host:port", …]}, '
                f'"task": {{"type": "worker", "index": 0}}}}, got {text[:200]}'
            ) from None
        if not 0 <= index < len(workers):
            raise StepError(f"TF_CONFIG: task index {index}, but it names {len(workers)} workers")
        return cls(workers, index)

    @property
    def size(self) -> int:
        """Number of workers."""
        return max(1, len(self.workers))

    @property
    def chief(self) -> bool:
        """Whether this process writes what the others read."""
        return self.index == 0

    def share(self, shards: list[Shard]) -> list[Shard]:
        """Returns this worker's part of a split's shards."""
        return shards[self.index :: self.size]
