"""``.npz``, as Keras ships MNIST; written by numpy itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.errors import StepError
from tests.ingest.conftest import digits
from tests.ingest.test_ingest import read

TRAIN, TEST = digits(40), digits(20, seed=1)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kind", ["uint8", "int64", ">i4"])
def test_mnist_as_keras_ships_it(save: Callable[..., None], kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    arrays = {"x_train": TRAIN[0], "x_test": TEST[0]}
    arrays |= {"y_train": TRAIN[1].astype(kind), "y_test": TEST[1].astype(kind)}
    save(path, **arrays)
    ingest(Ingest(source=str(path), validation_size=10, shard_size=13), tmp_path / "out")
    for split, images, labels in (
        ("validation", TRAIN[0][:10], TRAIN[1][:10]),
        ("train", TRAIN[0][10:], TRAIN[1][10:]),
        ("test", *TEST),
    ):
        found = read(tmp_path / "out", split)
        assert np.array_equal(found[0], images)
        assert np.array_equal(found[1], labels)


def test_names_with_three_splits_and_labels_in_a_column(tmp_path: Path) -> None:
    """As MedMNIST has them, under a name without the suffix."""
    arrays: dict[str, Any] = {}
    for name, count in (("train", 30), ("val", 15), ("test", 12)):
        images, labels = digits(count, seed=count)
        arrays |= {f"{name}_images": images, f"{name}_labels": labels[:, None]}
    with (tmp_path / "somemnist").open("wb") as file:
        np.savez(file, **arrays)
    dataset = ingest(Ingest(source=str(tmp_path / "somemnist")), tmp_path / "out")
    counts = [split.records for split in dataset.splits.values()]
    assert counts == [30, 15, 12]


def test_colours_are_rejected_or_made_grey(tmp_path: Path) -> None:
    """Images as CIFAR has them: 32 x 32 and three channels."""
    colours = np.random.default_rng(0).integers(256, size=(60, 32, 32, 3), dtype=np.uint8)
    colours[7] = colours[7, :, :, :1]  # grey, in three equal channels
    np.savez(tmp_path / "c.npz", x=colours, y=np.arange(60) % 10)
    with pytest.raises(StepError, match=r"record 0: an image of mode RGB.*--grey converts"):
        ingest(Ingest(source=str(tmp_path / "c.npz")), tmp_path / "out")
    config = Ingest(source=str(tmp_path / "c.npz"), grey=True)
    dataset = ingest(config, tmp_path / "out")
    assert dataset.image_shape == (32, 32)
    images = np.concatenate([read(tmp_path / "out", split)[0] for split in dataset.splits])
    # ITU-R 601
    luma = np.rint(colours @ np.array([0.299, 0.587, 0.114]))
    distances = [np.abs(luma - image).max(axis=(1, 2)).min() for image in images]
    assert max(distances) <= 1
    assert len(images) == 60


def test_images_are_resized_on_demand(tmp_path: Path) -> None:
    images = np.zeros((20, 60, 100), np.uint8)
    images[:, :30] = 200
    np.savez(tmp_path / "a.npz", x=images, y=np.arange(20) % 10)
    dataset = ingest(Ingest(source=str(tmp_path / "a.npz"), resize="12x10"), tmp_path / "out")
    assert dataset.image_shape == (12, 10)
    (first, *_), _ = read(tmp_path / "out", "train")
    assert (first[:5] == 200).all()
    assert (first[7:] == 0).all()


def _objects(path: Path) -> str:
    np.savez(path, x=np.array([{}, []], object), y=np.zeros(2, int))
    return "x: an array of Python objects, which are never unpickled"


def _floats(path: Path) -> str:
    np.savez(path, x=np.zeros((2, 4, 4)), y=np.zeros(2, int))
    return "x, record 0: pixels of float64 from 0 to 0, expected 0 to 255; --grey converts"


def _by_columns(path: Path) -> str:
    np.savez(path, x=np.zeros((5, 4, 3), np.uint8).T, y=np.zeros(3, int))
    return "x: stored by columns"


def _no_labels(path: Path) -> str:
    np.savez(path, x_train=np.zeros((5, 4, 3), np.uint8), x_test=np.zeros((5, 4, 3), np.uint8))
    return "no labels for it"


def _cut_short(path: Path) -> str:
    np.savez(path, x=TRAIN[0], y=TRAIN[1])
    path.write_bytes(path.read_bytes()[:-300])
    return "damaged zip"


def _flipped(path: Path) -> str:
    np.savez(path, x=TRAIN[0], y=TRAIN[1])
    content = bytearray(path.read_bytes())
    content[5_000] ^= 1
    path.write_bytes(content)
    return "Bad CRC-32"


BAD = (_objects, _floats, _by_columns, _no_labels, _cut_short, _flipped)


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__.strip("_"))
def test_a_bad_file_is_one_line(spoil: Callable[[Path], str], tmp_path: Path) -> None:
    message = spoil(tmp_path / "a.npz")
    with pytest.raises(StepError) as caught:
        ingest(Ingest(source=str(tmp_path / "a.npz")), tmp_path / "out")
    assert message in str(caught.value)
    assert str(tmp_path / "a.npz") in str(caught.value)
