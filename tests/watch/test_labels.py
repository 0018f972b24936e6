"""Labels that come later: what they say of the predictions of the last days."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.config import Predict, Watch
from components.predict.predict import predict
from components.shared.errors import StepError
from components.shared.predictions import Drift, LaterLabels, Predictions, Reference
from components.shared.significance import wilson
from components.watch.watch import watch, watch_labels
from tests.conftest import MNIST, Command
from tests.idx_files import Array, encode_idx, read_mnist

A_DAY = 300  # images
DAYS = ("2026-11-20", "2026-11-21", "2026-11-22")


@pytest.fixture(scope="module")
def digits() -> tuple[Array, Array]:
    """Digits of three days, each of one day only."""
    images, labels = read_mnist(MNIST, "t10k", 2 * A_DAY * len(DAYS))
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    chosen = np.sort(first)[: A_DAY * len(DAYS)]
    return images[chosen], labels[chosen]


@pytest.fixture(scope="module")
def days(
    digits: tuple[Array, Array], published: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """What predict wrote of each day; not to be written to."""
    directory = tmp_path_factory.mktemp("days")
    return [
        predicted(digits[0][number * A_DAY :][:A_DAY], day, published, directory)
        for number, day in enumerate(DAYS)
    ]


def predicted(images: Array, day: str, published: Path, directory: Path) -> Path:
    """Has the champion answer a day's images, without labels."""
    (directory / "in" / day).mkdir(parents=True)
    (directory / "in" / day / "images-idx3-ubyte").write_bytes(encode_idx(images))
    config = Predict(
        source=f"{directory}/in/{{date}}", span=1, until=day, destination=str(published)
    )
    predict(config, directory / day)
    return directory / day


def labelled(images: Array, labels: Array, directory: Path) -> str:
    """Writes images with labels, and returns where."""
    directory.mkdir(exist_ok=True)
    (directory / "images-idx3-ubyte").write_bytes(encode_idx(images))
    (directory / "labels-idx1-ubyte").write_bytes(encode_idx(labels))
    return str(directory)


def found(days: list[Path], labels: str, tmp_path: Path, window: int = 30) -> LaterLabels:
    """Holds the answers of days against labels."""
    drift = watch_labels(Watch(), days, labels, window, tmp_path / "watch")
    assert Drift.read(tmp_path / "watch") == drift and drift.labels
    return drift.labels


def test_precision_is_that_of_each_day_of_all_and_of_each_class(
    days: list[Path], digits: tuple[Array, Array], tmp_path: Path
) -> None:
    import pandas

    images, labels = digits
    said = found(days, labelled(images, labels, tmp_path / "labels"), tmp_path)
    answers = pandas.concat(
        [pandas.read_parquet(file) for day in days for file in sorted(day.glob("*.parquet"))]
    )
    right = answers["predicted"].to_numpy() == labels
    per_day = right.reshape(len(DAYS), A_DAY).sum(axis=1).tolist()
    assert [day.labelled and day.labelled.correct for day in said.days] == per_day
    assert [Path(day.source).name for day in said.days] == list(DAYS)
    assert (said.window.images, said.window.correct) == (len(labels), right.sum())
    assert said.window.interval == wilson(int(right.sum()), len(labels))
    counted = {one.name: (one.labelled.images, one.labelled.correct) for one in said.classes}
    mine = {str(n): (int((labels == n).sum()), int(right[labels == n].sum())) for n in range(10)}
    assert counted == mine
    assert (said.labels, said.unpredicted, said.repeated) == (len(labels), 0, 0)


def test_what_the_test_split_promised_is_what_evaluate_measured(
    days: list[Path], evaluation: Path, digits: tuple[Array, Array], tmp_path: Path
) -> None:
    said = found(days, labelled(*digits, tmp_path / "labels"), tmp_path)
    tested = json.loads((evaluation / "evaluation.json").read_text())["splits"]["test"]
    assert said.promised and said.promised.precision_at_1 == tested["precision_at_1"]
    recalls = [one.promised and one.promised.precision_at_1 for one in said.classes]
    assert recalls == pytest.approx([one["recall"] for one in tested["classes"]])


def test_labels_without_images_images_without_labels_and_contradictions_are_counted(
    days: list[Path],
    digits: tuple[Array, Array],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    images, labels = digits
    strange, wrong = 255 - images[:7], (labels[:5] + 1) % 10
    given = np.concatenate([images[:100], strange, images[:5], images[5:9]])
    names = np.concatenate([labels[:100], labels[:7], wrong, labels[5:9]])
    said = found(days, labelled(given, names, tmp_path / "labels"), tmp_path)
    assert (said.labels, said.contradicting, said.unpredicted) == (102, 5, 7)
    assert [day.labelled and day.labelled.images for day in said.days] == [95, None, None]
    assert said.window.images == 95
    told = capsys.readouterr().out
    assert "102 images of" in told and "5 with several labels" in told
    assert "7 are of no image that came in" in told and "no labels, 300 images" in told


def test_an_image_of_several_days_counts_on_each_and_once_in_all(
    days: list[Path], digits: tuple[Array, Array], published: Path, tmp_path: Path
) -> None:
    images, labels = digits
    twice = np.concatenate([images[:50], images[:50]])
    later = predicted(twice, "2026-11-23", published, tmp_path)
    said = found([*days, later], labelled(images, labels, tmp_path / "labels"), tmp_path)
    assert said.repeated == 50
    assert [day.labelled and day.labelled.images for day in said.days] == [300, 300, 300, 50]
    assert said.window.images == len(labels)


def test_a_fall_beyond_chance_is_an_alarm_that_trains_on_these_labels(
    days: list[Path],
    digits: tuple[Array, Array],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    images, labels = digits
    other = np.where(np.arange(len(labels)) % 5, labels, (labels + 1) % 10).astype(np.uint8)
    given = labelled(images, other, tmp_path / "labels")
    drift = watch_labels(Watch(), days, given, 30, tmp_path / "watch")
    failed = [verdict.rule for verdict in drift.verdicts if not verdict.passed]
    assert failed == ["max_precision_loss"]
    assert drift.diagnosis and drift.diagnosis.trainable
    assert f",{given} " in drift.diagnosis.to_do and "LABELLED" not in drift.diagnosis.to_do
    last = capsys.readouterr().out.splitlines()[-1]
    assert "more of the answers are wrong; precision@1 where labels came lies 0.1" in last
    page = (tmp_path / "watch" / "drift.html").read_text()
    assert "1 of 7 rules is broken: more answers are wrong than on the test split" in page


def test_few_labels_alarm_no_sooner_than_chance_allows(
    days: list[Path], digits: tuple[Array, Array], tmp_path: Path
) -> None:
    """As many as are wrong in the test split by chance in one of a thousand batches."""
    images, labels = digits
    alarms = 0
    for start in range(0, 150, 10):
        given = labelled(images[start:][:10], labels[start:][:10], tmp_path / "labels")
        alarms += not watch_labels(Watch(), days, given, 30, tmp_path / "watch").quiet
    assert alarms <= 1


def test_days_before_the_window_and_runs_that_were_made_again_do_not_count(
    days: list[Path],
    digits: tuple[Array, Array],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = labelled(*digits, tmp_path / "labels")
    said = found([days[2], *days, days[1]], given, tmp_path, window=2)
    assert [Path(day.source).name for day in said.days] == list(DAYS[1:])
    told = capsys.readouterr().out
    assert "2 of 5 predictions were made again since" in told
    assert "1 of 3 days are from before 2026-11-21" in told


def test_a_class_that_the_model_does_not_have_is_a_mistake(
    days: list[Path], digits: tuple[Array, Array], tmp_path: Path
) -> None:
    from PIL import Image

    images, labels = digits
    for place in range(40):
        name = "letter" if place < 10 else str(labels[place])
        (tmp_path / "labels" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[place]).save(tmp_path / "labels" / name / f"{place}.png")
    said = found(days, str(tmp_path / "labels"), tmp_path)
    letter = next(one for one in said.classes if one.name == "letter")
    assert (letter.labelled.images, letter.labelled.correct, letter.promised) == (10, 0, None)
    assert said.window.images == 40


def test_labels_of_other_images_are_refused_in_one_line(
    days: list[Path], digits: tuple[Array, Array], tmp_path: Path
) -> None:
    images, labels = digits
    with pytest.raises(StepError, match="no label is of an image that version 1 answered"):
        found(days, labelled(255 - images, labels, tmp_path / "labels"), tmp_path)
    with pytest.raises(StepError, match="images of 14x28, expected 28x28"):
        found(days, labelled(images[:, ::2], labels, tmp_path / "small"), tmp_path)
    assert not (tmp_path / "watch").exists()


def test_predictions_of_another_model_or_damaged_ones_are_refused(
    days: list[Path],
    digits: tuple[Array, Array],
    tmp_path: Path,
    copied: Callable[[Path], Path],
) -> None:
    given = labelled(*digits, tmp_path / "labels")
    other = copied(days[0])
    Predictions.read(other).model_copy(update={"model_name": "letters"}).write(other)
    with pytest.raises(StepError, match="answers of letters, expected those of digits"):
        found([other, days[1]], given, tmp_path)
    damaged = copied(days[1])
    file = next(damaged.glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StepError, match=r"not as predictions\.json says"):
        found([damaged], given, tmp_path)


def test_a_champion_of_before_is_shown_without_a_promise(
    days: list[Path],
    digits: tuple[Array, Array],
    tmp_path: Path,
    copied: Callable[[Path], Path],
) -> None:
    before = copied(days[0])
    stands = Reference.read(before).model_dump(exclude={"test_examples", "test_correct"})
    (before / Reference.FILE).write_text(json.dumps(stands))
    drift = watch_labels(
        Watch(), [before], labelled(*digits, tmp_path / "labels"), 30, tmp_path / "watch"
    )
    assert drift.labels and drift.labels.window.images == A_DAY and not drift.labels.promised
    assert "published before" in drift.verdicts[-1].reason and drift.verdicts[-1].passed


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies a directory."""
    import shutil

    def copy(directory: Path) -> Path:
        return Path(shutil.copytree(directory, tmp_path / f"copy-{directory.name}"))

    return copy


def test_labels_that_came_with_the_images_are_judged_too(
    digits: tuple[Array, Array], published: Path, tmp_path: Path
) -> None:
    images, labels = digits
    source = labelled(images, (labels + 1).astype(np.uint8) % 10, tmp_path / "night")
    predict(Predict(source=source, destination=str(published)), tmp_path / "predictions")
    drift = watch(Watch(), tmp_path / "predictions", tmp_path / "watch")
    assert not drift.quiet and drift.figures[-1].name == "max_precision_loss"


def test_the_command_line_takes_a_pattern_and_the_page_has_it_all(
    days: list[Path], digits: tuple[Array, Array], tmp_path: Path, command: Command
) -> None:
    given = ["components.watch", "--predictions", f"{days[0].parent}/2026-*"]
    output = ["--output", tmp_path / "watch"]
    told = command(*given, *output, expect=2)
    assert "3 directories of --predictions, expected --labels too" in told.stderr
    labels = labelled(*digits, tmp_path / "labels")
    told = command(*given, "--labels", labels, *output)
    lines = told.stdout.splitlines()
    whole = r"Precision@1 of these days: 0\.\d{4} \(.*\), 900 images, promised 0\.\d{4}"
    assert re.fullmatch(whole, lines[-9])
    assert lines[-1] == f"Quiet: all 7 rules hold for {A_DAY} images"
    page = (tmp_path / "watch" / "drift.html").read_text()
    section = page[page.index('id="labels-title"') : page.index('id="rules-title"')]
    assert all(f"/in/{day}</th>" in section for day in DAYS)
    assert section.count("<tr>") == 1 + len(DAYS) + 1 + 1 + 10
