"""The figures of a split, added up batch by batch so that memory does not grow with the split."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod

import numpy as np
import numpy.typing as npt

from components.evaluate.scoring import Batch
from components.shared.evaluation import (
    CalibrationBin,
    ClassFigures,
    Roc,
    Slice,
    SplitEvaluation,
)
from components.shared.significance import wilson

TOP = (1, 2, 3)
CALIBRATION_BINS = 15
INK_BINS = 1_020  # of mean grey value: a quarter of a gray level each
INK_GROUPS = 4
# The least probability that log loss reckons with: float32's resolution, as in scikit-learn.
EPSILON = float(np.finfo(np.float32).eps)
# Thresholds of the ROC: even steps of log-odds, since most probabilities are close to 0 or 1.
LOG_ODDS = np.arange(-12, 12.5, 0.5)
THRESHOLDS = np.concatenate([[0], 1 / (1 + np.exp(-LOG_ODDS)), [1]])


class Tally:
    """Adds up what a model says of a split.

    Args:
        class_names: The classes by name, in the order of the labels.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        classes = len(class_names)
        self._class_names = class_names
        self._confusion = np.zeros((classes, classes), np.int64)
        self._ranks = np.zeros(classes, np.int64)
        self._log_loss = 0.0
        self._bins = np.zeros((3, CALIBRATION_BINS))  # examples, confidence, correct
        self._slices = SlicesTally(class_names)

    def add(self, batch: Batch) -> None:
        """Takes in a batch."""
        labels, probabilities, predicted = batch.labels, batch.probabilities, batch.predicted
        np.add.at(self._confusion, (labels, predicted), 1)
        of_label = probabilities[np.arange(len(labels)), labels]
        ranks = _ranks(probabilities, labels, of_label)
        self._ranks += np.bincount(ranks, minlength=len(self._ranks))
        self._log_loss -= float(np.log(np.maximum(of_label, EPSILON, dtype=np.float64)).sum())
        confidence = probabilities.max(axis=1).astype(np.float64)
        bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        for row, weights in enumerate((None, confidence, predicted == labels)):
            self._bins[row] += np.bincount(bins, weights, CALIBRATION_BINS)
        self._slices.add(batch)

    def result(self) -> SplitEvaluation:
        """Returns the figures of what was added."""
        examples, correct = int(self._confusion.sum()), int(self._confusion.trace())
        calibration = self._calibration()
        return SplitEvaluation(
            examples=examples,
            correct=correct,
            precision_at_1=correct / examples,
            interval=wilson(correct, examples),
            precision_at_k={k: int(self._ranks[:k].sum()) / examples for k in TOP},
            log_loss=self._log_loss / examples,
            calibration_error=sum(
                part.examples / examples * abs(part.confidence - part.precision_at_1)
                for part in calibration
            ),
            classes=_classes(self._class_names, self._confusion),
            confusion=self._confusion.tolist(),
            slices=self._slices.result(),
            calibration=calibration,
        )

    def _calibration(self) -> list[CalibrationBin]:
        return [
            CalibrationBin(
                low=index / CALIBRATION_BINS,
                high=(index + 1) / CALIBRATION_BINS,
                examples=int(examples),
                confidence=confidence / examples,
                precision_at_1=correct / examples,
            )
            for index, (examples, confidence, correct) in enumerate(self._bins.T.tolist())
            if examples
        ]


class SlicesTally:
    """Counts examples and hits by class and by mean grey value.

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
        """Cuts the histogram of mean grey value into four groups as equal as its bins allow."""
        before = np.concatenate([[0], self._ink[0].cumsum()])
        cuts = np.searchsorted(before, before[-1] * np.arange(1, INK_GROUPS) / INK_GROUPS)
        level = 255 / INK_BINS
        for low, high in pairwise([0, *cuts.tolist(), INK_BINS + 1]):
            examples, correct = self._ink[:, low:high].sum(axis=1).tolist()
            yield (
                "mean grey value",
                f"{low * level:.0f} to {min(high * level, 255):.0f}",
                examples,
                correct,
            )


class RocTally:
    """Counts, for every class of every example, which thresholds its probability reaches."""

    def __init__(self) -> None:
        self._counts = np.zeros((2, len(THRESHOLDS)), np.int64)  # other classes, the label

    def add(self, batch: Batch) -> None:
        """Takes in a batch."""
        reached = np.searchsorted(THRESHOLDS, batch.probabilities, side="right") - 1
        of_label = reached[np.arange(len(batch.labels)), batch.labels]
        all_classes = np.bincount(reached.reshape(-1), minlength=len(THRESHOLDS))
        label = np.bincount(of_label, minlength=len(THRESHOLDS))
        self._counts += np.stack([all_classes - label, label])

    def result(self) -> Roc:
        """Returns the curve from threshold 1 down to 0."""
        falling = self._counts[:, ::-1]
        false, true = falling.cumsum(axis=1) / falling.sum(axis=1, keepdims=True)
        return Roc(
            thresholds=THRESHOLDS[::-1].tolist(),
            true_positive_rate=true.tolist(),
            false_positive_rate=false.tolist(),
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


def _ranks(
    probabilities: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int32],
    of_label: npt.NDArray[np.float32],
) -> npt.NDArray[np.int64]:
    """How many classes come before the label, ties in the order of the classes, as in argmax."""
    column = of_label[:, None]
    tied_before = (probabilities == column) & (np.arange(probabilities.shape[1]) < labels[:, None])
    return ((probabilities > column) | tied_before).sum(axis=1)


def _classes(class_names: Sequence[str], confusion: npt.NDArray[np.int64]) -> list[ClassFigures]:
    right, of_label, taken = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    return [
        ClassFigures(
            name=name,
            examples=int(of_label[place]),
            precision=right[place] / max(taken[place], 1),
            recall=right[place] / max(of_label[place], 1),
            f1=2 * right[place] / max(of_label[place] + taken[place], 1),
        )
        for place, name in enumerate(class_names)
    ]
