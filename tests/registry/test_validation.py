"""The bounds that what was measured is held against."""

from pathlib import Path

import pytest

from components.config import Push
from components.registry.state import Validation
from components.registry.validation import check_bounds
from components.shared.errors import StepError

FOUND = Validation(
    samples=100, largest_difference=1e-6, latency_ms={1: 0.3, 100: 0.6}, size_bytes=1 << 20
)


def test_within_the_bounds_is_fine() -> None:
    check_bounds(Push(max_serving_ms=0.6, max_model_mib=1), Path("model"), FOUND)


@pytest.mark.parametrize(
    ("config", "found", "reason"),
    [
        (Push(), {"largest_difference": 0.01}, "answers differ by up to 0.01"),
        (Push(), {"largest_difference": float("nan")}, "answers differ by up to nan"),
        (Push(max_serving_ms=0.5), {}, "takes 0.6 ms, expected at most 0.5"),
        (Push(max_serving_ms=0.5), {"latency_ms": {1: 9.0, 100: 0.4}}, "takes 9.0 ms"),
        (Push(max_model_mib=0.5), {}, "1.0 MiB, expected at most 0.5"),
    ],
)
def test_beyond_a_bound_stops(config: Push, found: dict, reason: str) -> None:
    with pytest.raises(StepError, match=reason):
        check_bounds(config, Path("model"), FOUND.model_copy(update=found))
