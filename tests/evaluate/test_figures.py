"""The figures against scikit-learn, SciPy and plain counting."""

import tracemalloc
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve

from components.evaluate.figures import CALIBRATION_BINS, RocTally, Tally
from components.evaluate.mistakes import Mistakes
from components.evaluate.scoring import Batch, Observer
from components.shared.manifests import Evaluation
from tests.conftest import MNIST, TEST
from tests.evaluate.conftest import random_batches
from tests.idx_files import read_mnist

Answers = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]
DIGITS = list(range(10))
NAMES = list("0123456789")


def test_counts_are_those_of_plain_counting(figures: Evaluation, answers: Answers) -> None:
    labels, probabilities = answers
    test = figures.splits["test"]
    assert test.examples == TEST
    assert test.correct == int((probabilities.argmax(axis=1) == labels).sum())
    assert test.precision_at_1 == test.correct / test.examples


def test_figures_are_those_of_scikit_learn(figures: Evaluation, answers: Answers) -> None:
    labels, probabilities = answers
    predicted = probabilities.argmax(axis=1)
    test = figures.splits["test"]
    assert test.confusion == metrics.confusion_matrix(labels, predicted, labels=DIGITS).tolist()
    precision, recall, f1, examples = metrics.precision_recall_fscore_support(
        labels, predicted, labels=DIGITS, zero_division=0
    )
    assert [one.precision for one in test.classes] == pytest.approx(precision)
    assert [one.recall for one in test.classes] == pytest.approx(recall)
    assert [one.f1 for one in test.classes] == pytest.approx(f1)
    assert [one.examples for one in test.classes] == examples.tolist()
    assert [one.name for one in test.classes] == NAMES
    assert test.balanced_accuracy == pytest.approx(
        metrics.balanced_accuracy_score(labels, predicted)
    )
    assert test.macro_f1 == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert test.majority_baseline == max(examples) / len(labels)
    for one in test.classes:
        low, high = one.recall_interval or (1, 0)
        assert low <= one.recall <= high and low < high
    for k, share in test.precision_at_k.items():
        assert share == pytest.approx(metrics.top_k_accuracy_score(labels, probabilities, k=k))
    # Batches of another size leave other bits at the end of a float32.
    assert test.log_loss == pytest.approx(metrics.log_loss(labels, probabilities), rel=1e-5)


def test_calibration_is_that_of_scikit_learn(figures: Evaluation, answers: Answers) -> None:
    labels, probabilities = answers
    test = figures.splits["test"]
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    shares, claims = calibration_curve(right, confidence, n_bins=CALIBRATION_BINS)
    assert [part.precision_at_1 for part in test.calibration] == pytest.approx(shares)
    assert [part.confidence for part in test.calibration] == pytest.approx(claims, rel=1e-5)
    weights = np.array([part.examples for part in test.calibration]) / TEST
    assert test.calibration_error == pytest.approx((weights * abs(shares - claims)).sum(), rel=1e-4)


def test_roc_has_finite_thresholds_and_the_rates_at_them(
    figures: Evaluation, answers: Answers
) -> None:
    labels, probabilities = answers
    roc = figures.roc
    assert np.isfinite(roc.thresholds).all()
    assert roc.thresholds == sorted(roc.thresholds, reverse=True)
    is_label = np.eye(10, dtype=bool)[labels]
    for threshold, true, false in list(
        zip(roc.thresholds, roc.true_positive_rate, roc.false_positive_rate, strict=True)
    ):
        reached = probabilities >= threshold
        assert true == pytest.approx(reached[is_label].mean(), abs=2 / TEST)
        assert false == pytest.approx(reached[~is_label].mean(), abs=2 / TEST)
    area = np.trapezoid(roc.true_positive_rate, roc.false_positive_rate)
    assert area == pytest.approx(
        metrics.roc_auc_score(is_label, probabilities, average="micro"), abs=1e-3
    )


def test_slices_by_ink_cut_the_split_into_quarters(figures: Evaluation, answers: Answers) -> None:
    labels, probabilities = answers
    images, _ = read_mnist(MNIST, "t10k", TEST)
    ink, right = images.mean(axis=(1, 2)), probabilities.argmax(axis=1) == labels
    quarters = [part for part in figures.splits["test"].slices if part.slice == "mean grey value"]
    assert len(quarters) == 4
    darkest_first = np.argsort(ink, kind="stable")
    start = 0
    for quarter in quarters:
        assert quarter.examples == pytest.approx(TEST / 4, rel=0.1)
        rows = darkest_first[start : start + quarter.examples]
        assert quarter.correct == pytest.approx(right[rows].sum(), abs=2)
        start += quarter.examples
    assert start == TEST


def test_slices_by_class_are_the_rows_of_the_confusion(figures: Evaluation) -> None:
    test = figures.splits["test"]
    classes = [part for part in test.slices if part.slice == "class"]
    assert [part.correct for part in classes] == np.diagonal(test.confusion).tolist()
    assert [part.examples for part in classes] == np.sum(test.confusion, axis=1).tolist()


def test_ties_go_to_the_lowest_class_as_in_argmax() -> None:
    tally = Tally(NAMES)
    even = np.full((10, 10), 0.1, np.float32)
    images = np.zeros((10, 28, 28), np.uint8)
    tally.add(Batch("test", 0, images, np.arange(10, dtype=np.int32), even))
    result = tally.result()
    assert result.correct == 1
    assert result.precision_at_k == {1: 0.1, 2: 0.2, 3: 0.3}


@settings(max_examples=20, deadline=None)
@given(cuts=st.sets(st.integers(1, 299), max_size=5), seed=st.integers(0, 1_000))
def test_figures_do_not_depend_on_how_a_split_is_cut(cuts: set[int], seed: int) -> None:
    whole = random_batches(1, 300, seed)[0]
    once, parts = Tally(NAMES), Tally(NAMES)
    once.add(whole)
    edges = [0, *sorted(cuts), 300]
    for low, high in pairwise(edges):
        parts.add(
            whole._replace(
                start=low,
                images=whole.images[low:high],
                labels=whole.labels[low:high],
                probabilities=whole.probabilities[low:high],
            )
        )
    expected, found = once.result(), parts.result()
    assert found.log_loss == pytest.approx(expected.log_loss)
    assert found.calibration_error == pytest.approx(expected.calibration_error)
    same = {"confusion", "classes", "slices", "precision_at_k", "interval"}
    assert found.model_dump(include=same) == expected.model_dump(include=same)


def test_memory_does_not_grow_with_the_split() -> None:
    def peak(count: int) -> int:
        batches = random_batches(4)
        observers: list[Observer] = [Tally(NAMES), RocTally(), Mistakes()]
        tracemalloc.start()
        for number in range(count):
            for observer in observers:
                observer.add(batches[number % 4]._replace(start=number * 500))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak(4)  # what is allocated once
    assert peak(200) < 1.3 * peak(8)
