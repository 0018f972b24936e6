"""The run's summary."""

import json
from pathlib import Path

from components.summary.summary import summarize


def test_a_success_is_told_with_its_parameters(tmp_path: Path) -> None:
    status = {"state": "SUCCEEDED", "pipelineJobResourceName": "run-1", "error": {}}
    line = summarize(status, {"source": "data/mnist"}, tmp_path / "summary.json")
    written = json.loads((tmp_path / "summary.json").read_text())
    assert line == "Run succeeded"
    assert written["state"] == "SUCCEEDED" and written["run"] == "run-1"
    assert written["error"] == "" and written["parameters"] == {"source": "data/mnist"}


def test_a_failure_is_told_with_its_reason(tmp_path: Path) -> None:
    status = {"state": "FAILED", "error": {"message": "train: exit code 1"}}
    assert summarize(status, {}, tmp_path / "summary.json") == "Run failed: train: exit code 1"
    assert json.loads((tmp_path / "summary.json").read_text())["error"] == "train: exit code 1"
