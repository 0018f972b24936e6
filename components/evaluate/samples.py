"""``samples.npz``: a few images and what the model says of them, for push to ask again."""

from pathlib import Path

import numpy as np

from components.evaluate.figures import Predictions
from components.shared.examples import read_split

FILE = "samples.npz"
COUNT = 100


def write(path: Path, files: list[str], said: Predictions) -> None:
    """Writes the first examples of a split.

    Args:
        path: The file: ``images`` uint8 ``[n, 28, 28]``, ``probabilities`` float32 ``[n, 10]``.
        files: The split's shards.
        said: What the model says of the split.
    """
    images, _ = next(iter(read_split(files, COUNT)))
    np.savez_compressed(path, images=images.numpy(), probabilities=said.probabilities[:COUNT])
