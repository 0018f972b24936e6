"""The figures of a split, added up batch by batch so that memory does not grow with the split."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from components.evaluate.scoring import Batch
from components.evaluate.slices import Slices
from components.shared.evaluation import CalibrationBin, ClassFigures, Roc, SplitEvaluation
from components.shared.significance import wilson

TOP = (1, 2, 3)
CALIBRATION_BINS = 15
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
        self._slices = Slices(class_names)

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
