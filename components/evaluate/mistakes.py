"""What is taken for what: the mistakes that a model is surest of, and its confusion matrix."""

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.evaluate.scoring import Batch
from components.shared.evaluation import Mistake, SplitEvaluation

KEPT = 40
TABLE = 20  # classes at most whose matrix is a table of counts; that of more is a picture
PAIRS = 12  # listed, the most frequent first
CELL = 11  # user units of the picture, as all that follows
LETTER = 5.6  # width of a letter of a name
NAME = 18  # letters of a name at most that the picture has room for

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


@dataclass(frozen=True)
class ConfusionCell:
    """How often a class was taken for another, or for itself."""

    label: str
    predicted: str
    count: int
    share: float  # of the label's examples
    row: int
    column: int


@dataclass(frozen=True)
class ConfusionMatrix:
    """The picture of a matrix of many classes: a square for each cell that is not empty."""

    names: list[str]  # of the classes, cut where they are long
    cells: list[ConfusionCell]
    margin: float  # left of the matrix and above it, for the names
    cell: int = CELL

    @property
    def size(self) -> float:
        """Width and height."""
        return self.margin + CELL * len(self.names)


def cells(split: SplitEvaluation) -> list[ConfusionCell]:
    """Lists the cells of a confusion matrix that are not empty, row by row."""
    names = [one.name for one in split.classes]
    return [
        ConfusionCell(
            names[row], names[column], count, count / split.classes[row].examples, row, column
        )
        for row, counts in enumerate(split.confusion)
        for column, count in enumerate(counts)
        if count
    ]


def most_confused(split: SplitEvaluation) -> list[ConfusionCell]:
    """Lists the mistakes made most often."""
    mistakes = [cell for cell in cells(split) if cell.row != cell.column]
    return sorted(mistakes, key=lambda cell: -cell.count)[:PAIRS]


def confusion_matrix(split: SplitEvaluation) -> ConfusionMatrix | None:
    """Lays out the matrix of many classes; None where a table of counts is as clear."""
    if len(split.classes) <= TABLE:
        return None
    names = [
        one.name if len(one.name) <= NAME else f"{one.name[: NAME - 1]}…" for one in split.classes
    ]
    return ConfusionMatrix(names, cells(split), margin=10 + LETTER * max(map(len, names)))
