"""``reference.json``: what the model was trained and tested on, for a watch on what comes in."""

from pathlib import Path
from typing import Any

import numpy as np

from components.evaluate.scoring import Batch
from components.shared.manifests import Dataset
from components.shared.predictions import Reference
from components.shared.profile import Profile


class Profiles:
    """Adds up a split's images and what the model says of them."""

    def __init__(self) -> None:
        self._parts: list[Profile] = []

    def add(self, batch: Batch) -> None:
        """Takes in a batch."""
        self._parts.append(Profile.of(batch.images, batch.probabilities))

    def result(self) -> Profile:
        """Returns the profile of what was added."""
        return Profile.total(self._parts)


def write(
    directory: Path,
    dataset: Dataset,
    model_sha256: str,
    options: dict[str, Any],
    train: Profile,
    test: Profile,
) -> None:
    """Writes what a data set looks like and what the model says of it.

    Args:
        directory: Where to.
        dataset: The manifest of the data set.
        model_sha256: Of the SavedModel.
        options: Of the steps that it came from, as far as they were not the defaults.
        train: The training split.
        test: The test split.
    """
    split = dataset.splits["train"]
    squares = split.pixel_stddev**2 + split.pixel_mean**2
    Reference(
        source=dataset.source,
        dataset_fingerprint=dataset.fingerprint,
        model_sha256=model_sha256,
        class_names=dataset.class_names,
        options=options,
        pixel_variance=max(0.0, squares - float(np.square(train.mean_image).mean())),
        train=train,
        test=test,
    ).write(directory)
