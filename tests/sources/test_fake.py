"""Made-up images: of any shape and any classes, and such that a model can tell them apart."""

from pathlib import Path

import numpy as np
import pytest

from components.config import Ingest
from tests.ingest.conftest import read_all


@pytest.mark.parametrize(
    ("address", "shape", "classes"),
    [
        ("fake://1500", (28, 28), 10),
        ("fake://1500?classes=47", (28, 28), 47),
        ("fake://1500?classes=62&shape=100x60", (100, 60), 62),
        ("fake://1500?shape=4x1&classes=128", (4, 1), 128),
        ("fake://1500?shape=1x1&classes=2", (1, 1), 2),
    ],
)
def test_each_class_has_a_look_of_its_own(
    address: str, shape: tuple[int, int], classes: int, tmp_path: Path
) -> None:
    source, (images, labels, _, _) = read_all(Ingest(source=address), tmp_path)
    assert source.image_shape == images.shape[1:] == shape
    assert source.class_names == tuple(map(str, range(classes)))
    means = np.stack([images[labels == label].mean(axis=0).ravel() for label in range(classes)])
    apart = np.abs(means[:, None] - means[None]).max(axis=2)
    assert apart[~np.eye(classes, dtype=bool)].min() > 10


def test_a_range_does_not_depend_on_how_the_source_is_cut(tmp_path: Path) -> None:
    source, whole = read_all(Ingest(source="fake://3000?classes=5&shape=3x4"), tmp_path)
    pieces = [source.read(part) for part in source.ranges(700)]
    assert np.array_equal(np.concatenate([piece.images for piece in pieces]), whole.images)
    assert np.array_equal(np.concatenate([piece.labels for piece in pieces]), whole.labels)
