"""Interval and test against SciPy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from components.shared.significance import mcnemar, wilson


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_that_of_scipy(counts: tuple[int, int]) -> None:
    correct, examples = counts
    expected = stats.binomtest(correct, examples).proportion_ci(method="wilson")
    assert wilson(correct, examples) == pytest.approx((expected.low, expected.high), abs=1e-6)


@given(st.integers(0, 3_000), st.integers(0, 3_000))
def test_mcnemar_is_scipys_binomial_test_on_the_discordant_pairs(gained: int, lost: int) -> None:
    trials = gained + lost
    expected = stats.binomtest(gained, trials).pvalue if trials else 1.0
    assert mcnemar(gained, lost) == pytest.approx(expected, abs=1e-9)


def test_mcnemar_takes_any_number_of_pairs() -> None:
    assert mcnemar(10_000, 10_000) == 1.0
    assert mcnemar(9_000, 11_000) < 1e-40
