"""Labels that are not what they seem: no figure makes up for what the classes say."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from components.config import Evaluate
from components.evaluate.blessing import judge
from components.evaluate.figures import Tally
from components.evaluate.scoring import Batch
from components.shared.evaluation import Comparison, Serving, SplitEvaluation, Verdict
from components.shared.significance import mcnemar

SOUND = Serving(latency_ms=1.0, problem="")
ANYTHING = Evaluate(min_precision=0, min_class_recall=0, max_gap=1, max_regression=1)
Labels = npt.NDArray[np.int32]


def tallied(labels: Labels, answers: Labels, classes: int = 10) -> SplitEvaluation:
    """The figures of a split of such labels and answers."""
    tally = Tally([str(place) for place in range(classes)])
    probabilities = np.eye(classes, dtype=np.float32)[answers]
    images = np.zeros((len(labels), 2, 2), np.uint8)
    tally.add(Batch("test", 0, images, labels, probabilities))
    return tally.result()


def labels_of(counts: Sequence[int]) -> Labels:
    return np.repeat(np.arange(len(counts), dtype=np.int32), counts)


def right(counts: Sequence[int]) -> SplitEvaluation:
    """A split with so many examples of each class, all of them recognized."""
    labels = labels_of(counts)
    return tallied(labels, labels, len(counts))


def judged(
    train: SplitEvaluation, test: SplitEvaluation, champion: Comparison | None = None
) -> dict[str, Verdict]:
    verdicts = judge(ANYTHING, {"train": train, "test": test}, champion, SOUND)
    return {verdict.rule: verdict for verdict in verdicts}


EVEN = [100] * 10
TWO_DIGITS = [0, 0, 0, 500, 0, 0, 0, 500, 0, 0]
ONE_CLASS = [1000] + [0] * 9
LAST_MISSING = [100] * 9 + [0]


@pytest.mark.parametrize(
    ("train", "test", "reason"),
    [
        (EVEN, EVEN, ""),
        (ONE_CLASS, ONE_CLASS, "9 of 10 classes have no test example: 1, 2, 3, 4, 5 and 4 more;"),
        (TWO_DIGITS, TWO_DIGITS, "8 of 10 classes have no test example: 0, 1, 2, 4, 5 and 3 more;"),
        ([900, 100] + [0] * 8, [90, 10] + [0] * 8, "8 of 10 classes have no test example"),
        (EVEN, LAST_MISSING, "1 of 10 classes have no test example: 9;"),
        (LAST_MISSING, EVEN, "1 of 10 classes have no train example: 9;"),
    ],
    ids=["all", "one class", "two digits", "one-hot", "only train has", "only test has"],
)
def test_every_class_has_examples_to_learn_and_to_test(
    train: Sequence[int], test: Sequence[int], reason: str
) -> None:
    verdict = judged(right(train), right(test))["every_class"]
    assert verdict.passed is not reason.startswith(("1", "8", "9"))
    assert reason in verdict.reason


def constant(counts: Sequence[int], answer: int) -> SplitEvaluation:
    labels = labels_of(counts)
    return tallied(labels, np.full_like(labels, answer), len(counts))


def one_right_of_the_rest(counts: Sequence[int]) -> SplitEvaluation:
    labels = labels_of(counts)
    answers = np.zeros_like(labels)
    answers[-1] = labels[-1]
    return tallied(labels, answers, len(counts))


@pytest.mark.parametrize(
    ("split", "passed"),
    [
        (right(EVEN), True),
        (right([990, 10]), True),
        (right(ONE_CLASS), False),
        (constant([990, 10], 0), False),
        (constant([10, 990], 1), False),
        (constant(EVEN, 3), False),
        (one_right_of_the_rest([990, 10]), False),
    ],
    ids=["even", "rare", "one class", "always 0", "always 1", "always 3", "one by chance"],
)
def test_a_model_is_better_than_answering_the_most_frequent_class(
    split: SplitEvaluation, passed: bool
) -> None:
    verdict = judged(right(EVEN), split)["majority_baseline"]
    assert verdict.passed is passed
    assert f"{max(one.examples for one in split.classes) / split.examples:.4f}" in verdict.reason


def beside(test: SplitEvaluation, shares: Sequence[float] | None) -> Comparison:
    """A champion that never gets the rare classes right, on the same split."""
    theirs = constant([one.examples for one in test.classes], 0)
    lost, gained = 0, test.correct - theirs.correct
    return Comparison(
        name="version 7",
        class_shares=None if shares is None else list(shares),
        test=theirs,
        gained=gained,
        lost=lost,
        p_value=mcnemar(gained, lost),
    )


@pytest.mark.parametrize(
    ("counts", "shares", "passed", "reason"),
    [
        (EVEN, [0.1] * 10, True, "within 0.2"),
        ([280] + [80] * 9, [0.1] * 10, True, "within 0.2"),
        (
            ONE_CLASS,
            [0.1] * 10,
            False,
            "class 0 makes up 1.0000 of the test split, 0.1000 of that of version 7",
        ),
        (TWO_DIGITS, [0.1] * 10, False, "class 3 makes up 0.5000"),
        ([910] + [10] * 9, [0.1] * 10, False, "class 0 makes up 0.9100"),
        ([100, 100], [0.9, 0.1], False, "balanced accuracy: 1.0000, version 7 0.5000"),
        (EVEN, None, True, "not known"),
    ],
)
def test_models_of_other_class_shares_are_not_compared_by_precision(
    counts: Sequence[int], shares: Sequence[float] | None, passed: bool, reason: str
) -> None:
    test = right(counts)
    verdict = judged(test, test, beside(test, shares))["max_share_change"]
    assert verdict.passed is passed
    assert reason in verdict.reason


def test_without_a_champion_there_are_no_shares_to_compare() -> None:
    assert judged(right(EVEN), right(EVEN))["max_share_change"].passed


Figure = Callable[[SplitEvaluation], object]


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (lambda split: split.majority_baseline, 0.75),
        (lambda split: split.never_recognized, ["1"]),
        (lambda split: split.class_shares, [0.75, 0.25, 0.0]),
        (lambda split: split.balanced_accuracy, 0.5),
    ],
)
def test_figures_of_a_model_that_answers_one_class(figure: Figure, expected: object) -> None:
    assert figure(constant([3, 1, 0], 0)) == expected
