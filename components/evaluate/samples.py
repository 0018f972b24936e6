"""``samples.npz``: a few images and what the model says of them, for push to ask again."""

from pathlib import Path

import numpy as np

from components.evaluate.scoring import Batch

FILE = "samples.npz"
COUNT = 100


class Samples:
    """The first examples of a split."""

    def __init__(self) -> None:
        self._first: Batch | None = None

    def add(self, batch: Batch) -> None:
        """Takes in a batch; the first one counts."""
        self._first = self._first or batch

    @property
    def first(self) -> Batch:
        """The first batch."""
        assert self._first is not None, "a split without examples was refused before"
        return self._first

    def write(self, path: Path) -> None:
        """Writes ``images``, uint8 ``[n, height, width]``, and their ``probabilities``."""
        np.savez_compressed(
            path, images=self.first.images[:COUNT], probabilities=self.first.probabilities[:COUNT]
        )
