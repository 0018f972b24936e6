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

    def write(self, path: Path) -> None:
        """Writes the file.

        It has ``images``, uint8 ``[n, height, width]``, and ``probabilities``, float32
        ``[n, classes]``.
        """
        assert self._first is not None, "a split without examples was refused before"
        np.savez_compressed(
            path,
            images=self._first.images[:COUNT],
            probabilities=self._first.probabilities[:COUNT],
        )
