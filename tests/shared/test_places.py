"""Where the records of a dataset were read, through ingest: each is found again in its source."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared import places
from components.shared.errors import StepError
from components.shared.manifests import Dataset
from components.shared.records import decode
from tests.conftest import MNIST
from tests.idx_files import encode_idx, read_mnist

IMAGES = 300


def pictures(directory: Path) -> Path:
    """Writes digits as pictures in a folder a class; one of them is damaged."""
    images, labels = read_mnist(MNIST, "t10k", IMAGES)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (directory / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(directory / str(label) / f"{number}.png")
    (directory / "7" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return directory


def arrays(directory: Path) -> Path:
    """Writes digits as one pair of IDX files; the label of one is none."""
    images, labels = read_mnist(MNIST, "t10k", IMAGES)
    directory.mkdir()
    (directory / "images-idx3-ubyte").write_bytes(encode_idx(images))
    labels = np.where(np.arange(IMAGES) == 17, 99, labels).astype(np.uint8)
    (directory / "labels-idx1-ubyte").write_bytes(encode_idx(labels))
    return directory


def image_at(place: str) -> np.ndarray:
    """Reads an image where a record's place says that it is."""
    file, _, number = place.partition(", record ")
    if not number:
        return np.array(Image.open(file))
    return read_mnist(MNIST, "t10k", IMAGES)[0][int(number)]


@pytest.mark.parametrize("write", [pictures, arrays])
def test_every_record_is_found_again_in_its_source(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    config = Ingest(source=str(write(tmp_path / "source")), max_rejected=0.1, shard_size=70)
    dataset = ingest(config, tmp_path / "examples")
    assert dataset.metrics["rejected"] == 1
    for split, held in dataset.splits.items():
        found = places.find(dataset, tmp_path / "examples", split, range(held.records))
        assert len(set(found)) == held.records
        files = dataset.files(tmp_path / "examples", split)
        images = np.concatenate([decode(Path(file).read_bytes(), (28, 28))[0] for file in files])
        for place, image in zip(found, images, strict=True):
            assert np.array_equal(image_at(place), image)


def test_where_a_file_is_read_from_end_to_end_nothing_is_written(examples: Path) -> None:
    dataset = Dataset.read(examples)
    assert not (examples / ".places").exists()
    (name,) = places.find(dataset, examples, "test", [999])
    assert name.endswith("t10k-images-idx3-ubyte, record 999")
    train = places.find(dataset, examples, "train", [0])
    assert train[0].endswith("train-images-idx3-ubyte, record 500")


def test_a_dataset_of_before_names_nothing(examples: Path) -> None:
    dataset = Dataset.read(examples)
    shards = [s.model_copy(update={"read_from": None}) for s in dataset.splits["test"].shards]
    test = dataset.splits["test"].model_copy(update={"shards": shards})
    before = dataset.model_copy(update={"splits": {**dataset.splits, "test": test}})
    assert places.find(before, examples, "test", [0, 5]) == ["", ""]
    assert before.fingerprint == dataset.fingerprint


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"PAR1"), Path.unlink])
def test_a_damaged_file_of_places_is_refused(
    damage: Callable[[Path], object], tmp_path: Path
) -> None:
    config = Ingest(source=str(pictures(tmp_path / "source")), max_rejected=0.1)
    dataset = ingest(config, tmp_path / "examples")
    damage(next((tmp_path / "examples" / ".places").iterdir()))
    with pytest.raises(StepError, match=r"not as dataset\.json says"):
        for split, held in dataset.splits.items():
            places.find(dataset, tmp_path / "examples", split, range(held.records))
