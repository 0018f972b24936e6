"""The picture of what the network is shown: images as they are, and below as they are moved."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from components.config import Ingest, Train
from components.ingest.ingest import ingest
from components.shared.manifests import Dataset
from components.shared.records import MAX_SIDE
from components.shared.shards import Shards
from components.train.batches import Share
from components.train.shown import GAP, IMAGES, STEPS, picture

Images = npt.NDArray[np.uint8]


def share_of(examples: Path, batch_size: int = 50, *place: int) -> Share:
    return Share.of(Shards.of(Dataset.read(examples), examples, "train"), batch_size, *place)


def tiles(share: Share, **options: Any) -> Images:
    """The picture's images, ``[rows, columns, height, width]``."""
    png = picture(Train(**options), share)
    assert png is not None
    height, width = share.shards.image_shape
    values = np.asarray(Image.open(io.BytesIO(png)))
    greys, opacity = np.pad(values, [[0, GAP], [0, GAP], [0, 0]]).transpose(2, 0, 1)
    framed = np.stack([greys, opacity]).reshape(2, 1 + STEPS, height + GAP, -1, width + GAP)
    images = framed[:, :, :height, :, :width].swapaxes(2, 3)
    assert (images[1] == 255).all() and opacity.sum() == images[1].sum()
    return images[0]


def shifted(image: Images, radius: int) -> list[bytes]:
    height, width = image.shape
    framed = np.pad(image, radius)
    corners = np.ndindex(2 * radius + 1, 2 * radius + 1)
    return [
        framed[row : row + height, column : column + width].tobytes() for row, column in corners
    ]


@pytest.mark.parametrize("each", ["image", "batch"])
@pytest.mark.parametrize(
    ("columns", "place"), [(IMAGES, (50,)), (3, (3,)), (4, (8, 1, 2))], ids=["", "few", "worker"]
)
def test_a_row_as_they_are_and_below_each_image_shifted(
    examples: Path, columns: int, place: tuple[int, ...], each: str
) -> None:
    share = share_of(examples, *place)
    first, *steps = tiles(share, shift=2, shift_each=each)
    assert (first == share.shards.read(share.chunks[:1]).images[:columns]).all()
    assert len(steps) == STEPS
    for step in steps:
        assert all(
            one.tobytes() in shifted(image, 2) for one, image in zip(step, first, strict=True)
        )
    assert any((step != first).any() for step in steps)


def test_deformed_images_are_none_of_the_shifted_ones(examples: Path) -> None:
    first, *steps = tiles(share_of(examples), shift=1, affine=0.15, elastic=1.0)
    for step in steps:
        for one, image in zip(step, first, strict=True):
            assert one.tobytes() not in shifted(image, 1) and one.any()


def test_the_same_run_has_the_same_picture(examples: Path) -> None:
    share = share_of(examples)
    assert picture(Train(elastic=1.0), share) == picture(Train(elastic=1.0), share)
    assert picture(Train(elastic=1.0), share) != picture(Train(elastic=1.0, seed=1), share)


def test_there_is_none_where_a_step_gets_images_as_they_are(examples: Path) -> None:
    assert picture(Train(shift=0, affine=0, elastic=0), share_of(examples)) is None


@pytest.mark.parametrize(("width", "columns"), [(8, IMAGES), (200, 4), (MAX_SIDE, 3)])
def test_wide_images_are_fewer(width: int, columns: int, tmp_path: Path) -> None:
    source = f"fake://200?shape=4x{width}"
    ingest(Ingest(source=source, validation_size=20), tmp_path / "examples")
    assert tiles(share_of(tmp_path / "examples"), shift=1).shape[1:] == (columns, 4, width)
