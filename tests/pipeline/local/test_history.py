"""``python -m pipeline runs``: the list, some side by side, and a table for other programs."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from components.config import Push
from components.shared.outcome import Outcome
from pipeline.local.record import RunRecord, StepRecord, point_latest
from pipeline.pipelines import MNIST
from tests.pipeline.conftest import Cli

RUN = f"{Push.model_name}-"  # how the names of runs begin


@pytest.fixture
def runs(tmp_path: Path, evaluation: Path) -> Path:
    """Two runs of other settings, the first published, the second better on validation."""
    for source, seed in (("fake://1", 0), ("fake://[2]", 1)):
        run = RunRecord.begin(tmp_path, MNIST, {"source": source, "seed": seed, "max_steps": 7})
        directory = tmp_path / run.name
        shutil.copytree(evaluation, directory / "evaluate" / "evaluation")
        path = directory / "evaluate" / "evaluation" / "evaluation.json"
        figures = json.loads(path.read_text())
        figures["splits"]["validation"]["precision_at_1"] = 0.97 + seed / 100
        path.write_text(json.dumps(figures))
        steps = {"train": StepRecord(seconds=1.25 + seed, exit_code=seed, result="Trained")}
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
    rows = [line.split() for line in lines if line.lstrip().startswith(RUN)]
    assert sorted(row[0] for row in rows) == sorted(path.name for path in runs.glob(f"{RUN}*"))
    assert [row[1:3] for row in rows] == [["failed", "0.9800"], ["published", "0.9700"]]
    assert rows[1][3] == "12"


def listed(cli: Cli, runs: Path, *arguments: str) -> list[str]:
    """Returns the names of the runs, in the order of the list."""
    lines = cli("runs", "--runs", runs, *arguments).output.splitlines()
    return [line.split()[0] for line in lines if line.lstrip().startswith(RUN)]


def test_the_best_on_validation_or_in_another_figure_comes_first(cli: Cli, runs: Path) -> None:
    first, second = sorted(path.name for path in runs.glob(f"{RUN}*"))
    assert listed(cli, runs) == [second, first]
    assert listed(cli, runs, "--sort", "started") == [first, second]
    assert listed(cli, runs, "--sort", "train, seconds") == [first, second]


def test_nothing_is_chosen_by_the_test_split(cli: Cli, runs: Path) -> None:
    output = cli("runs", "--runs", runs).output
    assert "Test" not in output
    error = cli("runs", "--runs", runs, "--sort", "test precision@1", expect=1).stderr
    assert "chosen by validation" in error and error.count("\n") == 1


def test_an_unknown_figure_is_answered_with_those_there_are(cli: Cli, runs: Path) -> None:
    error = cli("runs", "--runs", runs, "--sort", "speed", expect=1).stderr
    assert "validation loss" in error and "test" not in error and error.count("\n") == 1


def test_more_than_two_are_compared_too(cli: Cli, runs: Path) -> None:
    first, second = sorted(path.name for path in runs.glob(f"{RUN}*"))
    output = cli("runs", "--runs", runs, first, second, "latest").output
    (row,) = [line for line in output.splitlines() if " seed " in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == ["seed", "0", "1", "1"]
    assert "expected no name" in cli("runs", "--runs", runs, first, expect=2).stderr


def test_all_settings_and_figures_are_a_table_for_other_programs(
    cli: Cli, runs: Path, tmp_path: Path
) -> None:
    cli("runs", "--runs", runs, "--csv", tmp_path / "runs.csv")
    rows = list(csv.DictReader((tmp_path / "runs.csv").open()))
    assert [row["validation precision@1"] for row in rows] == ["0.98", "0.97"]
    assert [row["source"] for row in rows] == ["fake://[2]", "fake://1"]
    assert rows[1]["train, seconds"] == "1.25" and rows[1]["version"] == "12"
    assert cli("runs", "--runs", runs, "--csv", "-").output == (tmp_path / "runs.csv").read_text()


def test_two_runs_are_compared_by_what_differs(cli: Cli, runs: Path) -> None:
    first = min(path.name for path in runs.glob(f"{RUN}*"))
    output = cli("runs", "--runs", runs, first[-9:], "latest").output
    assert "seed" in output and "fake://[2]" in output
    assert "max_steps" not in output
    assert "test precision@1" in output and "train, seconds" in output


def test_what_a_manifest_says_steers_no_terminal(cli: Cli, runs: Path) -> None:
    for path in runs.glob(f"{RUN}*/run.json"):
        path.write_text(path.read_text().replace("fake://", "\\u001b[2Jfake://"))
    first = min(path.name for path in runs.glob(f"{RUN}*"))
    output = cli("runs", "--runs", runs, first[-9:], "latest").output
    assert "[2Jfake" in output and "\x1b" not in output + cli("runs", "--runs", runs).output


def test_a_time_without_a_zone_has_its_place_in_the_list(cli: Cli, runs: Path) -> None:
    first, second = sorted(runs.glob(f"{RUN}*/run.json"))
    for path, started in ((first, "2026-11-01T00:00:00"), (second, "2026-10-31T23:00:00-05:00")):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"started": started}))
    names = [first.parent.name, second.parent.name]
    assert listed(cli, runs, "--sort", "started") == names


@pytest.mark.parametrize("name", ["**", "[", "***", "a/**", "no\nrun", "x" * 300])
def test_a_name_is_no_pattern(cli: Cli, runs: Path, name: str) -> None:
    error = cli("runs", "--runs", runs, name, "latest", expect=1).stderr
    assert "with a name that ends in" in error and error.count("\n") == 1


def test_a_run_may_have_any_name(cli: Cli, runs: Path) -> None:
    first = min(runs.glob(f"{RUN}*"))
    first.rename(runs / "[b]*?")
    assert "seed" in cli("runs", "--runs", runs, "*?", "latest").output


@pytest.mark.parametrize("names", [("none", "latest"), ("", "latest")])
def test_a_name_that_fits_none_or_several_is_one_line(
    cli: Cli, runs: Path, names: tuple[str, str]
) -> None:
    assert "with a name that ends in" in cli("runs", "--runs", runs / ".", *names, expect=1).stderr


def test_no_runs_says_how_to_start_one(cli: Cli, tmp_path: Path) -> None:
    assert "start one: python -m pipeline local" in cli("runs", "--runs", tmp_path, expect=1).stderr
