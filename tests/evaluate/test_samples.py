"""``samples.npz`` holds what push asks again."""

from pathlib import Path

import numpy as np

from tests.conftest import MNIST
from tests.idx_files import read_mnist


def test_samples_are_the_first_test_images_with_their_probabilities(evaluation: Path) -> None:
    with np.load(evaluation / "samples.npz", allow_pickle=False) as samples:
        images, probabilities = samples["images"], samples["probabilities"]
    np.testing.assert_array_equal(images, read_mnist(MNIST, "t10k", 100)[0])
    assert probabilities.shape == (100, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
