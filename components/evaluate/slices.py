"""Slices of a split: examples that have something in common."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod

import numpy as np

from components.evaluate.scoring import Batch
from components.shared.evaluation import Slice
from components.shared.significance import wilson

INK_BINS = 1_020  # of mean ink: a quarter of a gray level each
INK_GROUPS = 4


class Slices:
    """Counts examples and hits by class and by mean ink.

    Args:
        class_names: The classes by name, in the order of the labels.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self._class_names = class_names
        self._classes = np.zeros((2, len(class_names)), np.int64)  # examples, correct
        self._ink = np.zeros((2, INK_BINS + 1), np.int64)

    def add(self, batch: Batch) -> None:
        """Takes in a batch."""
        right = batch.predicted == batch.labels
        pixels = prod(batch.images.shape[1:])
        ink = batch.images.reshape(len(batch.images), pixels).sum(axis=1, dtype=np.int64)
        bins = ink * INK_BINS // (255 * pixels)
        for row, chosen in enumerate((slice(None), right)):
            self._classes[row] += np.bincount(
                batch.labels[chosen], minlength=len(self._class_names)
            )
            self._ink[row] += np.bincount(bins[chosen], minlength=INK_BINS + 1)

    def result(self) -> list[Slice]:
        """Returns the slices that have examples."""
        classes = [
            ("class", name, examples, correct)
            for name, (examples, correct) in zip(
                self._class_names, self._classes.T.tolist(), strict=True
            )
        ]
        return [make_slice(*found) for found in (*classes, *self._ink_groups()) if found[2]]

    def _ink_groups(self) -> Iterator[tuple[str, str, int, int]]:
        """Cuts the histogram of mean ink into four groups as equal as its bins allow."""
        before = np.concatenate([[0], self._ink[0].cumsum()])
        cuts = np.searchsorted(before, before[-1] * np.arange(1, INK_GROUPS) / INK_GROUPS)
        level = 255 / INK_BINS
        for low, high in pairwise([0, *cuts.tolist(), INK_BINS + 1]):
            examples, correct = self._ink[:, low:high].sum(axis=1).tolist()
            yield (
                "mean ink",
                f"{low * level:.0f} to {min(high * level, 255):.0f}",
                examples,
                correct,
            )


def make_slice(name: str, value: str, examples: int, correct: int) -> Slice:
    """Returns a slice with its precision and interval."""
    return Slice(
        slice=name,
        value=value,
        examples=examples,
        correct=correct,
        precision_at_1=correct / examples,
        interval=wilson(correct, examples),
    )
