"""What a step is given by its environment, and what it sets there."""

import os
import sys

import pytest

from components.shared.environment import choose_kernels, run_directory


def test_a_runs_directory_is_its_own_and_the_same_for_every_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run_directory("train") == ""
    monkeypatch.setenv("RUN_VOLUME", "/data")
    assert run_directory("train") == ""
    monkeypatch.setenv("RUN_ID", "6a1b")
    assert run_directory("train") == "/data/6a1b/train"


@pytest.mark.parametrize(
    ("network", "imported", "expected"),
    [
        ("mlp", False, "0"),
        ("cnn", False, "1"),
        ("model.py:build", False, "1"),
        ("cnn", True, "0"),  # too late: TensorFlow has read it
    ],
)
def test_other_networks_than_mlp_have_onednn(
    network: str, imported: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    if imported:
        monkeypatch.setitem(sys.modules, "tensorflow", sys)
    choose_kernels(network)
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == expected
