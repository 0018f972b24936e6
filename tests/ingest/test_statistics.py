"""Figures, duplicates, anomalies, and the page that shows them."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.config import Ingest
from components.ingest import digests
from components.ingest.ingest import ingest
from components.shared.errors import StepError
from components.shared.manifests import SPLITS, Dataset
from tests.idx_files import write_source
from tests.ingest.conftest import digits, write_parquet


def test_figures_are_those_of_numpy(tmp_path: Path) -> None:
    train, test = digits(300), digits(100, seed=1)
    write_source(tmp_path / "source", train, test)
    config = Ingest(source=str(tmp_path / "source"), validation_size=50, shard_size=33)
    dataset = ingest(config, tmp_path / "out")
    for split, images, labels in (
        ("validation", train[0][:50], train[1][:50]),
        ("train", train[0][50:], train[1][50:]),
        ("test", *test),
    ):
        figures = dataset.splits[split]
        assert figures.records == len(images)
        assert figures.labels == np.bincount(labels, minlength=10).tolist()
        assert figures.pixel_mean == pytest.approx(images.mean(), rel=1e-12)
        assert figures.pixel_stddev == pytest.approx(images.std(), rel=1e-9)
    assert not dataset.anomalies


def test_duplicates_are_counted_within_and_across_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "AT_ONCE", 64)  # so that it takes several passes
    images, labels = digits(300)
    images[60:65] = images[70]  # five of train repeat another of train
    images[0:3] = images[200]  # three of validation repeat each other and one of train
    test = images[100:110], labels[100:110]  # ten of test are in train
    write_source(tmp_path / "source", (images, labels), test)
    config = Ingest(source=str(tmp_path / "source"), validation_size=50, shard_size=33)
    dataset = ingest(config, tmp_path / "out")
    assert {name: split.duplicates for name, split in dataset.splits.items()} == {
        "train": 5,
        "validation": 2,
        "test": 0,
    }
    assert dataset.duplicates == {"train,validation": 1, "train,test": 10, "validation,test": 0}
    leaks = [anomaly.message for anomaly in dataset.anomalies if anomaly.kind == "leak"]
    assert leaks == [
        "1 images are in train and in validation",
        "10 images are in train and in test",
    ]


def test_a_missing_class_and_an_empty_split_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = digits(200)
    labels[labels == 7] = 1
    write_parquet(tmp_path / "source" / "a.parquet", images, labels, "binary")
    config = Ingest(source=str(tmp_path / "source"), test_share=0)
    dataset = ingest(config, tmp_path / "out")
    found = {(anomaly.kind, anomaly.split) for anomaly in dataset.anomalies}
    assert {("missing class", "train"), ("empty split", "test")} <= found
    assert "Anomaly: train, missing class: no record with label 7" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["first", "first/dataset.json"])
def test_drift_is_told_against_a_previous_dataset(name: str, tmp_path: Path) -> None:
    images, labels = digits(400)
    write_parquet(tmp_path / "one" / "a.parquet", images, labels, "binary")
    ingest(Ingest(source=str(tmp_path / "one")), tmp_path / "first")
    write_parquet(tmp_path / "two" / "a.parquet", images, np.maximum(labels, 2), "binary")
    drifted = Ingest(source=str(tmp_path / "two"), previous=str(tmp_path / name))
    dataset = ingest(drifted, tmp_path / "second")
    (train,) = (a for a in dataset.anomalies if a.kind == "label drift" and a.split == "train")
    assert re.fullmatch(
        r"label 2 is (29|3\d)\.\d% of the records, was (9|1\d)\.\d% in the previous dataset",
        train.message,
    )
    same = Ingest(source=str(tmp_path / "one"), previous=str(tmp_path / name))
    assert not any(a.kind == "label drift" for a in ingest(same, tmp_path / "third").anomalies)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "not found, expected the dataset.json of --previous"), ("{}", "Field required")],
)
def test_a_bad_previous_dataset_is_one_line(
    content: str | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "dataset.json"
    if content:
        path.write_text(content)
    with pytest.raises(StepError, match=message):
        ingest(Ingest(source="fake://100", previous=str(path)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_previous_dataset_that_cannot_be_read_is_not_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "earlier" / "dataset.json").mkdir(parents=True)
    given = Ingest(source="fake://100", previous=str(tmp_path / "earlier"))
    with pytest.raises(StepError, match=r"^--previous: .*earlier/dataset\.json") as error:
        ingest(given, tmp_path / "out")
    assert "not found" not in str(error.value)


def test_the_page_shows_samples_and_needs_nothing_else(examples: Path) -> None:
    page = (examples / "statistics.html").read_text()
    dataset = Dataset.read(examples)
    assert "http" not in page.replace("http-equiv", "")
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == len(SPLITS) * len(dataset.class_names)
    for data in pictures:
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.size == (14 * 28, 28)
            assert np.asarray(picture).any()
    for split in dataset.splits.values():
        assert all(f"<td>{count:,}</td>" in page for count in split.labels)


def test_what_a_source_says_is_text_on_the_page(tmp_path: Path) -> None:
    source = tmp_path / "<script>alert(1)</script>"
    write_parquet(source / "a.parquet", *digits(50), "binary")
    ingest(Ingest(source=str(source)), tmp_path / "out")
    assert "<script>" not in (tmp_path / "out" / "statistics.html").read_text()


@pytest.mark.parametrize("shape", [(1, 1), (256, 3), (100, 60)])
def test_the_page_shows_every_class_in_a_size_to_look_at(
    shape: tuple[int, int], tmp_path: Path
) -> None:
    source = f"fake://2000?classes=62&shape={shape[0]}x{shape[1]}"
    # Few records a shard, so that no shard has all of the classes.
    ingest(Ingest(source=source, shard_size=30), tmp_path / "out")
    page = (tmp_path / "out" / "statistics.html").read_text()
    pictures = re.findall(r'alt="Samples of (\d+) in train" src="data:[^,]+,([^"]+)"', page)
    assert [name for name, _ in pictures] == [str(label) for label in range(62)]
    for _, data in pictures:
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.width <= 400
            assert picture.height == min(64, shape[0])


def test_drift_is_not_told_between_different_classes(tmp_path: Path) -> None:
    ingest(Ingest(source="fake://100"), tmp_path / "ten")
    again = Ingest(source="fake://100?classes=2", previous=str(tmp_path / "ten"))
    found = {a.kind: a.message for a in ingest(again, tmp_path / "two").anomalies}
    assert found["other classes"] == (
        "2 classes (0, 1), the previous dataset had 10 (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)"
    )
    assert "label drift" not in found
