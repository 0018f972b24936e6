"""Which records are trained on: never one that its source names apart from train."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.errors import StepError
from components.sources.splits import split_of
from tests.ingest.conftest import Array, digits, fuzz, png
from tests.ingest.test_ingest import read
from tests.sources.tables import write_parquet

HELD_OUT = (
    "eval", "Split-eval", "evaluation", "holdout", "hold-out", "heldout", "held_out", "held.out",
    "unseen", "valid", "val", "dev", "validation", "validate", "test", "tests", "testing", "test2",
    "testSet", "TestImages", "t10k",
)  # fmt: skip
TRAIN = ("train", "Split-train", "training", "trn", "trainImages", "train1")


def named(directory: Path, counts: dict[str, int]) -> dict[str, set[bytes]]:
    """Writes a Parquet file of some images under each name; returns the images."""
    found = {}
    for seed, (name, count) in enumerate(counts.items()):
        images, labels = digits(count, seed)
        (directory / name).mkdir(parents=True)
        write_parquet(directory / name, images, labels)
        found[name] = {image.tobytes() for image in images}
    return found


def written(output: Path, split: str) -> set[bytes]:
    return {image.tobytes() for image in read(output, split)[0]}


@pytest.mark.parametrize("held_out", HELD_OUT)
def test_what_is_held_out_beside_train_is_the_test_split(held_out: str, tmp_path: Path) -> None:
    images = named(tmp_path / "in", {"train": 60, held_out: 20})
    config = Ingest(source=str(tmp_path / "in"), validation_size=10)
    dataset = ingest(config, tmp_path / "out")
    assert written(tmp_path / "out", "test") == images[held_out]
    assert written(tmp_path / "out", "train") < images["train"]
    assert "train and test are those that the source names" in dataset.splits_from


@pytest.mark.parametrize("train", TRAIN)
def test_train_by_other_names(train: str, tmp_path: Path) -> None:
    images = named(tmp_path / "in", {train: 60, "eval": 20})
    ingest(Ingest(source=str(tmp_path / "in"), validation_size=10), tmp_path / "out")
    assert written(tmp_path / "out", "train") < images[train]


@pytest.mark.parametrize(
    ("validation", "test"),
    [("valid", "test"), ("eval", "test"), ("val", "holdout"), ("dev", "eval"), ("eval", "t10k")],
)
def test_two_held_out_splits_are_validation_and_test(
    validation: str, test: str, tmp_path: Path
) -> None:
    images = named(tmp_path / "in", {"train": 40, validation: 20, test: 15})
    ingest(Ingest(source=str(tmp_path / "in")), tmp_path / "out")
    for split, name in (("train", "train"), ("validation", validation), ("test", test)):
        assert written(tmp_path / "out", split) == images[name]


@pytest.mark.parametrize("others", [{}, {"test": 20}, {"valid": 20}, {"valid": 20, "test": 20}])
def test_an_unknown_name_beside_train_is_left_out_and_named(
    others: dict[str, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = named(tmp_path / "in", {"train": 60, "secret": 20, **others})
    config = Ingest(source=str(tmp_path / "in"), validation_size=10)
    dataset = ingest(config, tmp_path / "out")
    found = set().union(*(written(tmp_path / "out", split) for split in dataset.splits))
    assert found == set().union(*images.values()) - images["secret"]
    assert "1 files that name none are left out" in dataset.splits_from
    assert "secret/some.parquet" in capsys.readouterr().out


def test_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    named(tmp_path / "in", {"valid": 20, "test": 20})
    with pytest.raises(StepError, match="names test and validation, and not train"):
        ingest(Ingest(source=str(tmp_path / "in")), tmp_path / "out")


def test_three_held_out_splits_are_refused(tmp_path: Path) -> None:
    named(tmp_path / "in", {"train": 20, "valid": 20, "test": 20, "eval": 20})
    with pytest.raises(StepError, match="names test, validation and another held-out split"):
        ingest(Ingest(source=str(tmp_path / "in")), tmp_path / "out")


def test_pictures_by_folders(tmp_path: Path) -> None:
    images: Array = digits(40)[0]
    for number, image in enumerate(images):
        split = "eval" if number < 10 else "train"
        path = tmp_path / "in" / split / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))
    ingest(Ingest(source=str(tmp_path / "in"), validation_size=5), tmp_path / "out")
    assert written(tmp_path / "out", "test") == {image.tobytes() for image in images[:10]}


@pytest.mark.parametrize("test", ["test", "eval"])
def test_arrays_by_their_names(test: str, tmp_path: Path) -> None:
    train, held_out = digits(40), digits(20, 1)
    arrays: dict[str, Any] = {"x_train": train[0], "y_train": train[1]}
    arrays |= {f"x_{test}": held_out[0], f"y_{test}": held_out[1]}
    np.savez(tmp_path / "a.npz", **arrays)
    ingest(Ingest(source=str(tmp_path / "a.npz"), validation_size=5), tmp_path / "out")
    assert written(tmp_path / "out", "test") == {image.tobytes() for image in held_out[0]}


def test_validation_is_a_tenth_of_a_small_train_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named(tmp_path / "in", {"train": 60, "test": 20})
    dataset = ingest(Ingest(source=str(tmp_path / "in")), tmp_path / "out")
    assert [split.records for split in dataset.splits.values()] == [54, 6, 20]
    assert "Validation is 6 records, a tenth of train" in capsys.readouterr().out


@fuzz
@given(
    before=st.sampled_from(["", "data_", "my-", "2024.", "Split-"]),
    name=st.sampled_from(HELD_OUT),
    after=st.sampled_from(["", "-00000-of-00002", "_1", ".gz", "7"]),
)
def test_a_held_out_name_is_found_among_other_words(before: str, name: str, after: str) -> None:
    assert split_of(f"{before}{name}{after}.parquet") in ("validation", "test", "held out")
    assert split_of(f"{before}{name}{after}/0001.png") in ("validation", "test", "held out")


@pytest.mark.parametrize("name", ["latest", "contest", "restrain", "medieval", "devil", "evaluate"])
def test_a_part_of_a_word_is_not_a_name(name: str) -> None:
    assert split_of(f"{name}.csv") is None
