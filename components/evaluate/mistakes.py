"""The worst mistakes of a split: those the model is surest of."""

import heapq

import numpy as np
import numpy.typing as npt

from components.evaluate.scoring import Batch
from components.shared.evaluation import Mistake

KEPT = 40

Worst = tuple[float, int, Mistake, npt.NDArray[np.uint8]]


class Mistakes:
    """Keeps the mistakes with the highest probability of the wrong class."""

    def __init__(self) -> None:
        self._worst: list[Worst] = []

    def add(self, batch: Batch) -> None:
        """Takes in a batch."""
        predicted = batch.predicted
        found = list(self._worst)
        for row in np.flatnonzero(predicted != batch.labels).tolist():
            label, taken = int(batch.labels[row]), int(predicted[row])
            mistake = Mistake(
                index=batch.start + row,
                label=label,
                predicted=taken,
                probability=float(batch.probabilities[row, taken]),
                label_probability=float(batch.probabilities[row, label]),
            )
            # A copy: a view would keep the whole batch.
            found.append((-mistake.probability, mistake.index, mistake, batch.images[row].copy()))
        self._worst = heapq.nsmallest(KEPT, found, key=lambda worst: worst[:2])

    def result(self) -> list[Mistake]:
        """Returns the mistakes, the surest first."""
        return [mistake for _, _, mistake, _ in self._worst]

    @property
    def images(self) -> list[npt.NDArray[np.uint8]]:
        """The images, uint8 ``[height, width]``, of those mistakes."""
        return [image for *_, image in self._worst]
