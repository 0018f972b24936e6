"""The second pipeline, night by night, as ``make predict`` starts it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench import nights
from bench.drift import letters
from components.shared.predictions import Predictions
from pipeline.local.record import RunRecord
from pipeline.pipelines import PREDICT
from tests.conftest import MNIST, Command
from tests.idx_files import encode_idx, read_mnist
from tests.json_server import Request, serve_json

A_DAY = 400  # images
DAYS = [nights.DAYS[number] for number in (0, 3, 4, 5)]
NIGHTS = ("quiet", "alarm", "quiet", "nothing new")


class Night(NamedTuple):
    """A run: what it printed, the directory it left, and what the webhook heard of it."""

    printed: str
    directory: Path
    heard: list[Any]

    @property
    def run(self) -> RunRecord:
        """What it says of itself."""
        return RunRecord.read(self.directory)


@pytest.fixture(scope="module")
def incoming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory a day, none of its digits among those that the model was trained on."""
    directory = tmp_path_factory.mktemp("incoming")
    nights.write(directory, read_mnist(MNIST, "t10k", 10_000)[0], A_DAY)
    return directory


@pytest.fixture(scope="module")
def heard() -> Iterator[tuple[str, list[Any]]]:
    """A webhook's address, and what it was told, message by message."""
    told: list[Any] = []

    def answer(request: Request) -> tuple[int, Any]:
        told.append(request.body)
        return 200, "ok"

    with serve_json(answer) as address:
        yield address, told


@pytest.fixture(scope="module")
def ran(
    command: Command,
    published: Path,
    incoming: Path,
    heard: tuple[str, list[Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Night]:
    """The runs of four nights."""
    runs = tmp_path_factory.mktemp("nights") / "runs"
    address, told = heard
    found = []
    for day in DAYS:
        told.clear()
        process = command(
            "pipeline",
            "predict",
            *("--source", incoming / "{date}", "--span", 1),
            *("--until", day.date),
            *("--destination", published, "--runs", runs, "--webhook", address),
        )
        latest = (runs / PREDICT.latest).resolve()
        found.append(Night(process.stdout, latest, list(told)))
    return found


def test_every_night_is_known_for_what_it_was(ran: list[Night]) -> None:
    assert tuple(night.run.outcome for night in ran) == NIGHTS
    assert len({night.directory for night in ran}) == len(ran)
    assert all(night.directory.name.startswith("predict-") for night in ran)


def test_every_night_scores_its_own_day_alone(ran: list[Night]) -> None:
    for night in ran[:-1]:
        found = Predictions.read(night.directory / "predict" / "predictions")
        assert found.profile.images == A_DAY


def test_a_quiet_night_ends_with_one_line_and_where_things_lie(ran: list[Night]) -> None:
    printed, directory = ran[0].printed, ran[0].directory
    end = printed[printed.index("total") :]
    assert f"Quiet: all 6 rules hold for {A_DAY} images" in end
    assert str(directory / "predict/predictions") in end
    assert str(directory / "watch/drift/drift.html") in end
    assert "Alarm" not in printed


def test_an_alarm_says_what_happened_what_moved_and_what_to_do(ran: list[Night]) -> None:
    printed, directory = ran[1].printed, ran[1].directory
    end = printed[printed.index("total") :]
    assert "Alarm: " in end and "mean grey values lie" in end
    assert "2026-11-23: probably inverted: with that undone, all 6 rules hold" in printed
    assert "make predict SOURCE=" in end and "UNTIL=2026-11-23" in end
    assert (directory / "watch/drift/drift.html").is_file()
    assert 'href="watch/drift/drift.html"' in (directory / "index.html").read_text("utf-8")


def test_an_empty_night_says_so_and_leaves_no_predictions(ran: list[Night]) -> None:
    printed, directory = ran[3].printed, ran[3].directory
    assert "Nothing new: " in printed and "skipped: nothing new" in printed
    assert not (directory / "predict" / "predictions").exists()
    assert not (directory / "watch").exists()


def test_the_runs_are_listed_with_their_outcomes(command: Command, ran: list[Night]) -> None:
    listed = command("pipeline", "runs", "--runs", ran[0].directory.parent).stdout
    rows = [line for line in listed.splitlines() if line.lstrip().startswith("predict-")]
    for row, outcome in zip(rows, NIGHTS, strict=False):  # one more may have failed
        assert row.split(maxsplit=1)[1].startswith(f"{outcome} ")
    assert "{date}" not in listed
    versions = ["1" in row.split() for row in rows[: len(NIGHTS)]]
    assert versions == [night != "nothing new" for night in NIGHTS]


def test_two_nights_are_compared_by_what_was_measured(command: Command, ran: list[Night]) -> None:
    names = [ran[night].directory.name for night in (0, 1)]
    told = command("pipeline", "runs", "--runs", ran[0].directory.parent, *names).stdout
    assert "max_ink_psi, measured" in told and "quiet" in told and "alarm" in told


def test_a_night_that_fails_is_listed_with_its_day_and_is_not_the_latest(
    command: Command, published: Path, incoming: Path, ran: list[Night]
) -> None:
    runs = ran[0].directory.parent
    day = nights.DAYS[1].date  # no other night's
    given = ("--source", incoming / "{date}", "--span", 1, "--until", day, "--version", 9)
    places = ("--destination", published, "--runs", runs)
    printed = command("pipeline", "predict", *given, *places, expect=1).stdout
    assert "predict failed: " in printed and "version 9" in printed
    assert "skipped" not in printed
    assert (runs / PREDICT.latest).resolve() == ran[-1].directory
    listed = command("pipeline", "runs", "--runs", runs).stdout
    assert "failed" in listed and day in "".join(listed.split())
    assert "{date}" not in "".join(listed.split())


def test_an_alarm_that_training_can_mend_starts_one_training(
    command: Command, published: Path, small_source: Path, tmp_path: Path
) -> None:
    (tmp_path / "in-images-idx3-ubyte").write_bytes(encode_idx(letters(A_DAY)))
    registry = shutil.copytree(published, tmp_path / "registry")

    def watched() -> str:
        return command(
            *("pipeline", "predict", "--source", tmp_path / "in-images-idx3-ubyte"),
            *("--destination", registry, "--runs", tmp_path / "runs", "--retrain", small_source),
        ).stdout

    printed = watched()
    (seen,) = (tmp_path / "runs").glob("digits-*")
    alarmed = (tmp_path / "runs" / PREDICT.latest).resolve().name
    assert seen.name == f"digits-retrain-{alarmed.removeprefix('predict-')}"
    assert f"; training {seen.name} started" in printed
    trained = RunRecord.read(seen)
    assert trained.outcome in ("published", "not blessed")
    assert (trained.parameters["source"], trained.parameters["max_steps"]) == (
        str(small_source),
        300,
    )
    again = watched()
    assert f"no training started: {seen.name} began 20" in " ".join(again.split())
    assert len(list((tmp_path / "runs").glob("digits-*"))) == 1


def test_the_webhook_hears_of_one_alarm(ran: list[Night]) -> None:
    alarms = [json.dumps(night.heard) for night in ran if "what to do" in json.dumps(night.heard)]
    assert all(len(night.heard) == 1 for night in ran)
    assert alarms == [json.dumps(ran[1].heard)]
    assert "nothing new" in json.dumps(ran[3].heard)
    assert "2026-11-23: probably inverted" in alarms[0] and "make predict" in alarms[0]
