"""Runs a SavedModel over a split: every example once, in one pass, a batch at a time."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from components.scoring.classifier import BATCH, Classifier, Probabilities
from components.shared.errors import StepError
from components.shared.manifests import Dataset
from components.shared.shards import Examples, Shards


class Batch(NamedTuple):
    """Consecutive examples of a split, and what the model says of them."""

    split: str
    start: int  # position of the first in the split, from 0
    images: npt.NDArray[np.uint8]  # [batch, height, width]
    labels: npt.NDArray[np.int32]  # [batch]
    probabilities: Probabilities

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The most probable class, the lowest where several are, int64 ``[batch]``."""
        return self.probabilities.argmax(axis=1)


class Observer(Protocol):
    """What looks at every batch of a split as it passes."""

    def add(self, batch: Batch) -> None:
        """Takes in a batch."""


def read(dataset: Dataset, examples: Path, split: str) -> Iterator[Examples]:
    """Reads a split in batches, in the order of its shards.

    Args:
        dataset: The manifest in ``examples``.
        examples: The directory that ingest wrote.
        split: Which split.

    Raises:
        StepError: The split has no examples, or a shard is not the one that ingest wrote.
    """
    shards = Shards.of(dataset, examples, split)
    if not shards.records:
        raise StepError(f"{examples}: the {split} split is empty, expected examples to score")
    return shards.batches(BATCH)


def score(classify: Classifier, split: str, batches: Iterable[Examples]) -> Iterator[Batch]:
    """Yields a split's batches with what a model says of them."""
    start = 0
    for images, labels in batches:
        yield Batch(split, start, images, labels, classify(images))
        start += len(labels)
