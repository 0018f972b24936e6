"""Whole runs of the pipeline through kfp.local, as ``make local`` starts them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def blessed(command: Command, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run on MNIST with the default settings: its directory, and what it showed."""
    directory = tmp_path_factory.mktemp("blessed")
    process = command(
        "pipeline",
        "local",
        *("--runs", directory / "runs"),
        *("--destination", directory / "registry"),
    )
    return directory, process.stdout


def test_default_run_writes_the_tutorials_splits(blessed: tuple[Path, str]) -> None:
    dataset = read(blessed[0] / "runs/latest/ingest/examples/dataset.json")
    records = {name: split["records"] for name, split in dataset["splits"].items()}
    assert records == {"train": 55_000, "validation": 5_000, "test": 10_000}


def test_default_run_is_accurate(blessed: tuple[Path, str]) -> None:
    evaluation = read(blessed[0] / "runs/latest/evaluate/evaluation/evaluation.json")
    assert evaluation["splits"]["test"]["precision_at_1"] >= 0.978


def test_default_run_publishes_the_blessed_model(blessed: tuple[Path, str]) -> None:
    registry = blessed[0] / "registry/digits"
    version = str(read(registry / "champion.json")["version"])
    assert (registry / version / "saved_model.pb").is_file()


def test_default_run_ends_with_a_summary(blessed: tuple[Path, str]) -> None:
    assert read(blessed[0] / "runs/latest/summary/summary")["state"] == "SUCCEEDED"


def test_default_run_shows_what_a_person_wants_to_see(blessed: tuple[Path, str]) -> None:
    directory, shown = blessed
    assert "train | Step 100: loss = " in shown
    assert "train | Step 16500: loss = " in shown
    for split, examples in (("Train", 55_000), ("Validation", 5_000), ("Test", 10_000)):
        assert f"evaluate | {split} Data Eval:" in shown
        assert f"Num examples: {examples}  Num correct: " in shown
    table = shown[shown.index("Seconds") :]
    assert "Blessed: " in table
    assert "Published digits" in table
    for place in ("train/model", "evaluate/evaluation/report.html", "train/logs"):
        path = directory / "runs/latest" / place
        assert path.exists()
        assert str(path) in table
    assert "KFP Executor" not in shown


def test_unblessed_model_is_not_pushed(command: Command, tmp_path: Path) -> None:
    process = command(
        "pipeline",
        "local",
        *("--runs", tmp_path / "runs"),
        *("--destination", tmp_path / "registry"),
        *("--max-steps", 200, "--min-precision", 0.9999),
    )
    evaluation = read(tmp_path / "runs/latest/evaluate/evaluation/evaluation.json")
    assert not all(verdict["passed"] for verdict in evaluation["verdicts"])
    assert not (tmp_path / "registry").exists()
    assert not (tmp_path / "runs/latest/push").exists()
    assert "skipped: the model is not blessed" in process.stdout
    assert read(tmp_path / "runs/latest/summary/summary")["state"] == "SUCCEEDED"


def test_failed_step_names_itself_its_error_and_its_log(command: Command, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    process = command(
        "pipeline", "local", "--runs", tmp_path / "runs", "--source", missing, expect=1
    )
    assert f"ingest failed: {missing}: not found, expected " in process.stdout
    log = tmp_path / "runs/latest/ingest/log.txt"
    assert f"Log: {log}" in process.stdout
    assert f"error: {missing}: not found" in log.read_text(encoding="utf-8")
    assert "Traceback" not in process.stdout + process.stderr
    assert "not run" in process.stdout
    assert read(tmp_path / "runs/latest/summary/summary")["state"] == "FAILED"
