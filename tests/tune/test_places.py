"""How many trials are trained side by side, and with how many threads each."""

import os
import sys

import pytest

from components.config import Tune
from components.tune import trials


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for cores")
@pytest.mark.parametrize(
    ("gib", "side_by_side", "threads"), [(1_024, 16, "4"), (6, 6, "10"), (0.5, 1, "64")]
)
def test_on_many_cores_trials_are_bounded_by_memory_and_number(
    monkeypatch: pytest.MonkeyPatch, gib: float, side_by_side: int, threads: str
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64))
    monkeypatch.setattr(trials, "memory_limit", lambda: int(gib * 2**30))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    places = trials.places(Tune())
    assert len(places) == side_by_side
    assert {place["TF_NUM_INTRAOP_THREADS"] for place in places} == {threads}
