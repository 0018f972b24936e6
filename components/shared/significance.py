"""What chance alone could do: an interval for a share, a test that compares two models."""

import math

Interval = tuple[float, float]  # 95 % confidence: low, high

Z = 1.959964  # the standard normal's 97.5 % quantile


def wilson(correct: int, examples: int) -> Interval:
    """Returns the 95 % confidence interval of a share.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    share, spread = correct / examples, Z**2 / examples
    center = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / examples + spread / (4 * examples)) / (1 + spread)
    return max(0.0, center - half), min(1.0, center + half)


def mcnemar(gained: int, lost: int) -> float:
    """Returns the two-sided p-value of McNemar's exact test, 0 to 1.

    Only examples that one model gets right and the other wrong tell the models apart; were the
    models equally good, each such example would fall to either side like a fair coin.

    Args:
        gained: Examples that only the first model gets right.
        lost: Examples that only the second model gets right.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions
    or percentages", 1947, in its exact form.
    """
    trials = gained + lost
    ways, tail = 1, 0  # exact integers, so that no number of trials is too many
    for hits in range(min(gained, lost) + 1):
        tail += ways
        ways = ways * (trials - hits) // (hits + 1)
    return min(1.0, 2 * tail / 2**trials)
