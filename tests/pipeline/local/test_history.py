"""``python -m pipeline runs``: the list, and two side by side."""

import json
import shutil
from pathlib import Path

import pytest

from components.shared.outcome import Outcome
from pipeline.local.record import RunRecord, StepRecord, point_latest
from pipeline.pipelines import MNIST
from tests.pipeline.conftest import Cli


@pytest.fixture
def runs(tmp_path: Path, evaluation: Path) -> Path:
    """Two runs of other settings, the first published."""
    for source, seed in (("fake://1", 0), ("fake://[2]", 1)):
        run = RunRecord.begin(tmp_path, MNIST, {"source": source, "seed": seed, "max_steps": 7})
        directory = tmp_path / run.name
        shutil.copytree(evaluation, directory / "evaluate" / "evaluation")
        steps = {"train": StepRecord(seconds=1.25, exit_code=seed, result="Trained")}
        outcomes = [Outcome(step="evaluate", result="blessed", message="", precision_at_1=0.98)]
        if not seed:
            address = "registry/digits/12"
            outcomes += [Outcome(step="push", result="published", message="", address=address)]
        (directory / "outcomes").mkdir()
        for outcome in outcomes:
            outcome.write(directory / "outcomes")
        run.end(directory, "failed" if seed else "published", steps)
        point_latest(directory, MNIST.latest, replace=True)
    return tmp_path


def test_list_has_every_run_once_with_what_came_of_it(cli: Cli, runs: Path) -> None:
    lines = cli("runs", "--runs", runs).output.splitlines()
    names = sorted(path.name for path in runs.glob("mnist-*"))
    rows = [line for line in lines if line.lstrip().startswith("mnist-")]
    assert [row.split()[0] for row in rows] == names
    assert rows[0].split()[1:4] == ["published", "0.9800", "12"]
    assert rows[1].split()[1] == "failed"


def test_two_runs_are_compared_by_what_differs(cli: Cli, runs: Path) -> None:
    first = min(path.name for path in runs.glob("mnist-*"))
    output = cli("runs", "--runs", runs, first[-9:], "latest").output
    assert "seed" in output and "fake://[2]" in output
    assert "max_steps" not in output
    assert "test precision@1" in output and "train, seconds" in output


def test_what_a_manifest_says_steers_no_terminal(cli: Cli, runs: Path) -> None:
    for path in runs.glob("mnist-*/run.json"):
        path.write_text(path.read_text().replace("fake://", "\\u001b[2Jfake://"))
    first = min(path.name for path in runs.glob("mnist-*"))
    output = cli("runs", "--runs", runs, first[-9:], "latest").output
    assert "[2Jfake" in output and "\x1b" not in output + cli("runs", "--runs", runs).output


def test_a_time_without_a_zone_has_its_place_in_the_list(cli: Cli, runs: Path) -> None:
    first, second = sorted(runs.glob("mnist-*/run.json"))
    for path, started in ((first, "2026-11-01T00:00:00"), (second, "2026-10-31T23:00:00-05:00")):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"started": started}))
    lines = cli("runs", "--runs", runs).output.splitlines()
    rows = [line.split()[0] for line in lines if line.lstrip().startswith("mnist-")]
    assert rows == [first.parent.name, second.parent.name]


@pytest.mark.parametrize("name", ["**", "[", "***", "a/**", "no\nrun", "x" * 300])
def test_a_name_is_no_pattern(cli: Cli, runs: Path, name: str) -> None:
    error = cli("runs", "--runs", runs, name, "latest", expect=1).stderr
    assert "with a name that ends in" in error and error.count("\n") == 1


def test_a_run_may_have_any_name(cli: Cli, runs: Path) -> None:
    first = min(runs.glob("mnist-*"))
    first.rename(runs / "[b]*?")
    assert "seed" in cli("runs", "--runs", runs, "*?", "latest").output


@pytest.mark.parametrize("names", [("none", "latest"), ("", "latest")])
def test_a_name_that_fits_none_or_several_is_one_line(
    cli: Cli, runs: Path, names: tuple[str, str]
) -> None:
    assert "with a name that ends in" in cli("runs", "--runs", runs / ".", *names, expect=1).stderr


def test_no_runs_says_how_to_start_one(cli: Cli, tmp_path: Path) -> None:
    assert "start one: python -m pipeline local" in cli("runs", "--runs", tmp_path, expect=1).stderr
