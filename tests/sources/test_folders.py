"""Pictures in a folder a class: lying open, in a zip, in a tar; written by Pillow itself."""

import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.errors import StepError
from components.shared.manifests import Dataset
from components.sources.filesystem import open_directory
from components.sources.open_source import open_source
from tests.ingest.conftest import Array, MakeBucket, digits, png, read_all
from tests.ingest.test_ingest import read

CLASSES = ("cat", "dog", "eel")
TRAIN, TEST = digits(60), digits(30, seed=1)


def encoded(image: Array, kind: str, **options: Any) -> bytes:
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, kind, **options)
    return packed.getvalue()


def write_folders(directory: Path, kind: str = "PNG", **options: Any) -> Path:
    """Writes train/cat/0001.png and so on, in torchvision's and Keras' layout."""
    for split, (images, _) in (("train", TRAIN), ("test", TEST)):
        for number, image in enumerate(images):
            path = directory / split / CLASSES[number % 3] / f"{number:04}.{kind.lower()}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(image, kind, **options))
    return directory


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.rglob("*")):
            packed.write(file, file.relative_to(folder))
    return path


def tarred(folder: Path, path: Path, mode: Literal["w", "w:gz"] = "w") -> Path:
    with tarfile.open(path, mode) as packed:
        packed.add(folder, ".")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("pictures") / "animals")


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    output = tmp_path_factory.mktemp("expected") / "out"
    return ingest(Ingest(source=str(folder), validation_size=15), output)


def as_set(images: Array, labels: np.ndarray) -> set[tuple[bytes, int]]:
    return {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}


def test_folders_are_classes_and_splits(folder: Path, tmp_path: Path) -> None:
    dataset = ingest(Ingest(source=str(folder), validation_size=15), tmp_path / "out")
    assert dataset.class_names == list(CLASSES)
    assert dataset.splits_from == (
        "train and test are those that the source names, validation is the first 15 records of "
        "train; pictures are in the order of a hash of their names"
    )
    splits = {split: read(tmp_path / "out", split) for split in dataset.splits}
    assert as_set(*splits["test"]) == as_set(TEST[0], np.arange(30) % 3)
    both = [np.concatenate([splits["train"][i], splits["validation"][i]]) for i in (0, 1)]
    assert as_set(both[0], both[1]) == as_set(TRAIN[0], np.arange(60) % 3)
    assert set(splits["validation"][1]) == {0, 1, 2}


@pytest.mark.parametrize("pack", [zipped, tarred, partial(tarred, mode="w:gz")])
@pytest.mark.parametrize("name", ["animals.zip", "no-suffix"])
def test_an_archive_gives_the_same_bytes_as_its_folder(
    pack: Callable[[Path, Path], Path],
    name: str,
    folder: Path,
    expected: Dataset,
    tmp_path: Path,
) -> None:
    path = pack(folder, tmp_path / name)
    config = Ingest(source=str(path), validation_size=15, shard_size=16_384)
    assert ingest(config, tmp_path / "out").fingerprint == expected.fingerprint


def test_an_archive_a_split(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    zipped(folder / "train", tmp_path / "source" / "train.zip")
    zipped(folder / "test", tmp_path / "source" / "val.zip")
    zipped(folder / "test", tmp_path / "source" / "test.zip")
    dataset = ingest(Ingest(source=str(tmp_path / "source")), tmp_path / "out")
    counts = {name: split.records for name, split in dataset.splits.items()}
    assert counts == {"train": 60, "validation": 30, "test": 30}


def test_folders_in_a_bucket(
    folder: Path, expected: Dataset, make_bucket: MakeBucket, tmp_path: Path
) -> None:
    from tests.sources.test_web import _upload

    bucket = make_bucket("animals")
    _upload(folder, f"{bucket}/all")
    config = Ingest(source=f"{bucket}/all", validation_size=15)
    assert ingest(config, tmp_path / "out").fingerprint == expected.fingerprint


def test_numbers_are_classes_in_their_order(tmp_path: Path) -> None:
    images, _ = digits(24)
    for number, image in enumerate(images):
        path = tmp_path / "source" / str(number % 12) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))
    dataset = ingest(Ingest(source=str(tmp_path / "source")), tmp_path / "out")
    assert dataset.class_names == [str(number) for number in range(12)]
    assert "since the source names none" in dataset.splits_from


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("BMP", {}),
        ("GIF", {}),
        ("TIFF", {}),
        ("JPEG", {"quality": 95}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_formats(kind: str, options: dict, tmp_path: Path) -> None:
    folder = write_folders(tmp_path / "source", kind, **options)
    _, records = read_all(Ingest(source=str(folder / "test")), tmp_path)
    assert len(records.images) == 30
    if kind != "JPEG":
        assert as_set(records.images, records.labels) == as_set(TEST[0], np.arange(30) % 3)


SOFT = np.add.outer(np.arange(28), np.arange(28)).astype(np.uint8)


def _in_palette() -> Image.Image:
    """Red instead of grey."""
    picture = Image.fromarray(SOFT, "L").convert("P")
    picture.putpalette([channel for level in range(256) for channel in (level, 0, 0)])
    return picture


ODD: dict[str, tuple[Image.Image, Callable[[], Array]]] = {
    "16 bits": (
        Image.fromarray(SOFT.astype(np.uint16) * 1_000),
        lambda: (SOFT.astype(int) * 1_000 >> 8).astype(np.uint8),
    ),
    "palette": (_in_palette(), lambda: np.asarray(_in_palette().convert("RGB").convert("L"))),
    "alpha": (
        Image.merge("LA", [Image.fromarray(SOFT), Image.new("L", (28, 28), 0)]),
        lambda: np.zeros((28, 28), np.uint8),
    ),
    "colour": (
        Image.new("RGB", (28, 28), (255, 0, 0)),
        lambda: np.full((28, 28), 76, np.uint8),
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_not_grey_is_rejected_or_made_grey(name: str, tmp_path: Path) -> None:
    picture, wanted = ODD[name]
    for folder in ("a", "b"):
        (tmp_path / "source" / folder).mkdir(parents=True)
        picture.save(tmp_path / "source" / folder / "1.png")
    with pytest.raises(StepError, match=r"an image of mode .*, expected grey of 8 bits; --grey"):
        ingest(Ingest(source=str(tmp_path / "source")), tmp_path / "out")
    config = Ingest(source=str(tmp_path / "source"), grey=True, test_share=0, validation_share=0)
    ingest(config, tmp_path / "out")
    images, _ = read(tmp_path / "out", "train")
    assert np.abs(images.astype(int) - wanted()).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_grey_is_grey_however_it_is_written(mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray((SOFT > 20) * np.uint8(255))
    for folder in ("a", "b"):
        (tmp_path / "source" / folder).mkdir(parents=True)
        picture.convert(mode).save(tmp_path / "source" / folder / "1.png")
    _, records = read_all(Ingest(source=str(tmp_path / "source")), tmp_path)
    assert np.array_equal(records.images[0], np.asarray(picture))


def test_what_cannot_be_read_is_rejected_with_its_reason(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shutil.copytree(folder, tmp_path / "source")
    cats = source / "train" / "cat"
    for number in range(20):  # so that these are few among many
        (cats / f"more-{number}.png").write_bytes(png(TRAIN[0][number]))
    (cats / "empty.png").write_bytes(b"")
    (cats / "cut.png").write_bytes(png(TRAIN[0][0])[:200])
    (cats / "large.png").write_bytes(png(np.zeros((30, 28), np.uint8)))
    (cats / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (cats / "._0001.png").write_bytes(b"\0\5\26\7")
    (source / "notes\x1b[2J.xyz").write_text("what I saw")
    config = Ingest(source=str(source), validation_size=15, max_rejected=0.5)
    dataset = ingest(config, tmp_path / "out")
    reasons = {Path(record.where).name: record.reason for record in dataset.rejected}
    assert reasons == {
        "empty.png": "wrong size: 0 bytes, expected 784",
        "cut.png": "damaged picture (OSError)",
        "large.png": "wrong size: 30 x 28 pixels, expected 28 x 28; --resize 28x28 converts",
    }
    assert "Left out, since no images are in it: notes [2J.xyz" in capsys.readouterr().out
    lines = [
        json.loads(line)
        for file in (tmp_path / "out" / "rejected").iterdir()
        for line in file.read_text().splitlines()
    ]
    assert {line["label"] for line in lines} == {0}


def test_pictures_of_any_size_are_resized_on_demand(tmp_path: Path) -> None:
    for number, side in enumerate((5, 28, 300)):
        path = tmp_path / "source" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(np.full((side, 2 * side), 99, np.uint8)))
    config = Ingest(
        source=str(tmp_path / "source"), resize="32x20", test_share=0, validation_share=0
    )
    ingest(config, tmp_path / "out")
    images, _ = read(tmp_path / "out", "train")
    assert images.shape == (3, 32, 20)
    assert (images == 99).all()


def _flat(source: Path) -> str:
    (source / "1.png").write_bytes(png(TRAIN[0][0]))
    return "1.png is in no folder, expected a folder a class"


def _splits_only(source: Path) -> str:
    for split in ("train", "test"):
        (source / split).mkdir()
        (source / split / "1.png").write_bytes(png(TRAIN[0][0]))
    return "folders test, train are named after splits, expected a folder a class in each"


def _several_depths(source: Path) -> str:
    for path in ("a/1.png", "b/c/1.png"):
        (source / path).parent.mkdir(parents=True)
        (source / path).write_bytes(png(TRAIN[0][0]))
    return "a/1.png and b/c/1.png are not equally deep"


def _not_utf8(source: Path) -> str:
    Path(os.fsdecode(os.fsencode(source) + b"/\xff.png")).write_bytes(png(TRAIN[0][0]))
    return "\\xff.png: a name that is not UTF-8; rename it"


def _one_class(source: Path) -> str:
    (source / "a").mkdir()
    (source / "a" / "1.png").write_bytes(png(TRAIN[0][0]))
    return "1 classes, expected 2 to 128"


def _encrypted(source: Path) -> str:
    # The flag is enough: nothing is decrypted here.
    path = source / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("a/1.png", png(TRAIN[0][0]))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    return "a/1.png is encrypted; unpack it first"


def _csv_in_zip(source: Path) -> str:
    with zipfile.ZipFile(source / "a.zip", "w") as packed:
        packed.writestr("train.csv", "label,pixel0,pixel1\n1,2,3\n")
    return "holds CSV (train.csv), expected pictures in a folder a class; unpack it first"


def _cut_zip(source: Path) -> str:
    zipped(write_folders(source / "x"), source / "a.zip")
    shutil.rmtree(source / "x")
    (source / "a.zip").write_bytes((source / "a.zip").read_bytes()[:-40])
    return "damaged zip"


def _nothing(source: Path) -> str:
    (source / "a.xyz").write_bytes(b"?" * 100)
    return "a.xyz: none of these files is of a kind that can be read, which are IDX, .npz"


BAD = (
    _flat,
    _splits_only,
    _several_depths,
    _one_class,
    _not_utf8,
    _encrypted,
    _csv_in_zip,
    _cut_zip,
    _nothing,
)


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__.strip("_"))
def test_a_bad_source_is_one_line(spoil: Callable[[Path], str], tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    message = spoil(source)
    with pytest.raises(StepError) as caught:
        ingest(Ingest(source=str(source)), tmp_path / "out")
    assert message in str(caught.value)
    assert str(source) in str(caught.value)


def test_names_that_lead_out_of_an_archive_are_names_only(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for name in ("../../a/1.png", "../../b/1.png"):
            packed.writestr(name, png(TRAIN[0][0]))
    source, records = read_all(Ingest(source=str(path)), tmp_path)
    assert source.class_names == ("a", "b")
    assert len(records.images) == 2


def test_without_labels_pictures_need_no_folders(tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / f"{number}.png").write_bytes(png(TRAIN[0][number]))
    work = open_directory(str(tmp_path / "work"))
    (tmp_path / "work").mkdir()
    source = open_source(Ingest(source=f"{tmp_path}/*.png"), work, labelled=False)
    records = [source.read(part) for part in source.ranges(3)]
    assert sum(len(some.images) for some in records) == 7
    assert {label for some in records for label in some.labels.tolist()} == {-1}
