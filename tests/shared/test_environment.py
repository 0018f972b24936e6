"""What the cluster tells training by its environment."""

import pytest

from components.shared.environment import run_directory


def test_a_runs_directory_is_its_own_and_the_same_for_every_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run_directory("train") == ""
    monkeypatch.setenv("RUN_VOLUME", "/data")
    assert run_directory("train") == ""
    monkeypatch.setenv("RUN_ID", "6a1b")
    assert run_directory("train") == "/data/6a1b/train"
