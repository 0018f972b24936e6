"""The images that came in, with labels where all of their classes are among the model's."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pyarrow import fs

from components.config import Predict
from components.shared.days import with_days
from components.shared.errors import StepError, log_line
from components.shared.records import ImageShape
from components.sources.fake import SCHEME
from components.sources.files import NothingThereError, check_exists, find
from components.sources.open_source import open_source
from components.sources.source import Source


class Incoming(NamedTuple):
    """A source, and what its labels mean to a model."""

    source: Source
    places: tuple[int, ...]  # the model's class for each label; empty: there are no labels

    def labels(self, of_source: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns the model's class for each label of the source; -1 for one that has none."""
        places = np.array([*self.places, -1], np.int64)
        known = (of_source >= 0) & (of_source < len(self.places))
        return places[np.where(known, of_source, -1)]


def is_empty(config: Predict) -> bool:
    """Whether a place where images are put, day by day, holds none.

    Raises:
        StepError: There is no such place.
    """
    check_exists(config.source)
    if config.source.startswith(SCHEME):
        return False
    try:
        find(config, config.source)
    except NothingThereError:
        return True
    return False


def which_images(config: Predict) -> str:
    """Says which images are to be read: the source, with the day or days in it."""
    return with_days(config.source, config.span, config.until)


def open_images(
    config: Predict, unpacked: fs.FileSystem, image_shape: ImageShape, class_names: Sequence[str]
) -> Incoming:
    """Opens the source that a configuration names.

    Args:
        config: The address, and what to take of it.
        unpacked: Where files are unpacked to, for every worker to read.
        image_shape: Height and width of the images that the model takes.
        class_names: The model's classes.

    Raises:
        StepError: There is nothing to read there, or nothing that the model takes.
    """
    found = _open(config, unpacked, class_names)
    if found.source.image_shape != tuple(image_shape):
        theirs, ours = (" x ".join(map(str, s)) for s in (found.source.image_shape, image_shape))
        raise StepError(
            f"{which_images(config)}: images of {theirs} pixels, but the model takes {ours}; "
            f"--resize {ours.replace(' ', '')} converts"
        )
    return found


def _open(config: Predict, unpacked: fs.FileSystem, class_names: Sequence[str]) -> Incoming:
    try:
        source = open_source(config, unpacked)
    except StepError as error:
        # What is wrong may be wrong with the labels alone, which need not be there.
        source = open_source(config, unpacked, labelled=False)
        log_line(f"Labels: none, and none are needed ({error})")
        return Incoming(source, ())
    if unknown := [name for name in source.class_names if name not in class_names]:
        log_line(
            f"Labels: none, and none are needed ({which_images(config)}: class {unknown[0]!r} is "
            "none of the model's)"
        )
        return Incoming(open_source(config, unpacked, labelled=False), ())
    return Incoming(source, tuple(map(list(class_names).index, source.class_names)))
