"""Comparing with the champion."""

import numpy as np

from components.evaluate.comparison import ComparisonTally
from tests.evaluate.conftest import random_batches


def test_both_models_are_counted_example_by_example() -> None:
    ours, theirs = random_batches(3, 200, seed=1), random_batches(3, 200, seed=2)
    answers = iter(batch.probabilities for batch in theirs)
    comparison = ComparisonTally(lambda images: next(answers), "version 4", list("0123456789"))
    for batch in ours:
        comparison.add(batch)
    labels = np.concatenate([batch.labels for batch in ours])
    we = np.concatenate([batch.predicted for batch in ours]) == labels
    they = np.concatenate([batch.predicted for batch in theirs]) == labels
    result = comparison.result()
    assert result.gained == int((we & ~they).sum())
    assert result.lost == int((they & ~we).sum())
    assert result.test.correct == int(they.sum())
    assert result.test.correct + result.gained - result.lost == int(we.sum())
