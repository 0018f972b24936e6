"""The second pipeline, night by night, as ``make predict`` starts it."""

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from components.shared.predictions import Predictions
from pipeline.pipelines import PREDICT
from pipeline.runs import Run
from tests.conftest import MNIST, Command
from tests.idx_files import encode_idx, read_mnist
from tests.json_server import Request, serve_json

FIRST = datetime.date(2026, 11, 20)
A_DAY = 400  # images
NIGHTS = ("quiet", "quiet", "quiet", "alarm", "quiet", "nothing new")


class Night(NamedTuple):
    """A run: what it printed, the directory it left, and what the webhook heard of it."""

    shown: str
    directory: Path
    heard: list[Any]

    @property
    def run(self) -> Run:
        """What it says of itself."""
        return Run.read(self.directory)


@pytest.fixture(scope="module")
def incoming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory a day: five with digits that the model was not trained on, a sixth with none.

    Those of the fourth are white on black's opposite.
    """
    directory = tmp_path_factory.mktemp("incoming")
    images, _ = read_mnist(MNIST, "t10k", 10_000)
    for day in range(len(NIGHTS)):
        place = directory / f"{FIRST + datetime.timedelta(day)}"
        place.mkdir()
        if NIGHTS[day] != "nothing new":
            digits = images[1_000 + day :: 20][:A_DAY]
            inverted = NIGHTS[day] == "alarm"
            (place / "images-idx3-ubyte").write_bytes(
                encode_idx(255 - digits if inverted else digits)
            )
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
def nights(
    command: Command,
    published: Path,
    incoming: Path,
    heard: tuple[str, list[Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Night]:
    """The runs of six nights."""
    runs = tmp_path_factory.mktemp("nights") / "runs"
    address, told = heard
    found = []
    for day in range(len(NIGHTS)):
        told.clear()
        process = command(
            "pipeline",
            "predict",
            *("--source", incoming / "{date}", "--span", 1),
            *("--until", FIRST + datetime.timedelta(day)),
            *("--destination", published, "--runs", runs, "--webhook", address),
        )
        latest = (runs / PREDICT.latest).resolve()
        found.append(Night(process.stdout, latest, list(told)))
    return found


def test_every_night_is_known_for_what_it_was(nights: list[Night]) -> None:
    assert tuple(night.run.outcome for night in nights) == NIGHTS
    assert len({night.directory for night in nights}) == len(nights)
    assert all(night.directory.name.startswith("predict-") for night in nights)


def test_every_night_scores_its_own_day_alone(nights: list[Night]) -> None:
    for night in nights[:-1]:
        found = Predictions.read(night.directory / "predict" / "predictions")
        assert found.profile.images == A_DAY


def test_a_quiet_night_ends_with_one_line_and_where_things_lie(nights: list[Night]) -> None:
    shown, directory = nights[0].shown, nights[0].directory
    end = shown[shown.index("total") :]
    assert f"Quiet: all 5 rules hold for {A_DAY} images" in end
    assert str(directory / "predict/predictions") in end
    assert str(directory / "watch/drift/drift.html") in end
    assert "Alarm" not in shown


def test_an_alarm_says_what_moved_and_how_to_train_anew(nights: list[Night]) -> None:
    shown, directory = nights[3].shown, nights[3].directory
    end = shown[shown.index("total") :]
    assert "Alarm: " in end and "mean ink" in end
    assert "make local SOURCE=" in end
    assert (directory / "watch/drift/drift.html").is_file()
    assert 'href="watch/drift/drift.html"' in (directory / "index.html").read_text("utf-8")


def test_an_empty_night_says_so_and_leaves_no_predictions(nights: list[Night]) -> None:
    shown, directory = nights[5].shown, nights[5].directory
    assert "Nothing new: " in shown and "skipped: nothing new" in shown
    assert not (directory / "predict" / "predictions").exists()
    assert not (directory / "watch").exists()


def test_the_runs_are_listed_with_their_outcomes(command: Command, nights: list[Night]) -> None:
    listed = command("pipeline", "runs", "--runs", nights[0].directory.parent).stdout
    rows = [line for line in listed.splitlines() if line.lstrip().startswith("predict-")]
    # One more may have failed.
    assert [row.split("  ")[1].strip() for row in rows[: len(NIGHTS)]] == list(NIGHTS)
    versions = ["1" in row.split() for row in rows[: len(NIGHTS)]]
    assert versions == [night != "nothing new" for night in NIGHTS]


def test_a_night_that_fails_is_not_the_latest(
    command: Command, published: Path, nights: list[Night]
) -> None:
    runs = nights[0].directory.parent
    arguments = ("--source", "fake://10?shape=9x9", "--destination", published, "--runs", runs)
    shown = command("pipeline", "predict", *arguments, expect=1).stdout
    assert "predict failed: fake://10?shape=9x9: images of 9 x 9 pixels" in shown
    assert "skipped" not in shown
    assert (runs / PREDICT.latest).resolve() == nights[-1].directory


def test_the_webhook_hears_of_one_alarm(nights: list[Night]) -> None:
    alarms = [json.dumps(night.heard) for night in nights if "retrain" in json.dumps(night.heard)]
    assert all(len(night.heard) == 1 for night in nights)
    assert alarms == [json.dumps(nights[3].heard)]
    assert "nothing new" in json.dumps(nights[5].heard)
    assert "mean ink" in alarms[0] and "make local" in alarms[0]
