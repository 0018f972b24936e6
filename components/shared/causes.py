"""Simple causes of an alarm: what may have happened to images, each as the step that undoes it.

Predict undoes each for some of the images and has the model answer them anew; watch compares those
with the training split, as it does with what came in. The cause after whose undoing all rules hold
is the one that explains the alarm.
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from components.shared.predictions import Reference
from components.shared.profile import mean_of_cells
from components.shared.records import Images
from components.shared.texture import textures

AS_IT_CAME = "as it came"
BLANK, COPIES, NEVER_SEEN = "blank images", "copies of one image", "a class never seen"
TRIED = 512  # images that causes are tried on, of a whole run, evenly spaced
TRIED_RANGES = 32  # that they are of, at most
TRIED_PIXELS = 1 << 22  # of those of a range, at most
SAME = 16  # grey values that an image differs in at least, or it is blank
UNSURE = 0.8  # probability below which an image may be of a kind that the model does not know
REACH = 4  # a shift goes as far as this part of a side
EXTREMES = (2, 98)  # percentiles of grey values
Probabilities = npt.NDArray[np.float32]


class Attempt(NamedTuple):
    """Images after a cause is undone."""

    cause: str
    images: Images
    probabilities: Probabilities | None  # None: to be asked of the model


def attempts(
    images: Images, probabilities: Probabilities, reference: Reference
) -> Iterator[Attempt]:
    """Undoes every cause that there is, and yields what comes of it.

    Args:
        images: Some of those that came in, uint8 ``[n, height, width]``.
        probabilities: The answers to them, float32 ``[n, classes]``.
        reference: What the model was trained on.
    """
    yield Attempt(AS_IT_CAME, images, probabilities)
    for cause, kept in _left_out(images):
        yield Attempt(cause, images[kept], probabilities[kept])
    inverted = 255 - images
    yield Attempt("inverted", inverted, None)
    if texture := reference.texture:
        far, inverted_far = (texture.distances(textures(one)) for one in (images, inverted))
        known = (far <= texture.of_99_percent) & (probabilities.max(axis=1) >= UNSURE)
        yield Attempt(NEVER_SEEN, images[known], probabilities[known])
        nearer = np.where((inverted_far < far)[:, None, None], inverted, images)
        yield Attempt("inverted images among others", nearer, None)
    for cause, changed in _turned(images):
        yield Attempt(cause, np.ascontiguousarray(changed), None)
    yield Attempt("shifted", _shifted_back(images, reference), None)
    wanted = reference.train.decoded_samples()
    if len(wanted):
        yield Attempt("another brightness or contrast", _mapped_back(images, wanted), None)
    light = reference.train.mean_image.mean() < 128  # strokes, on a dark ground
    around = _neighbours(images)
    thin, thick = around.min(axis=0), around.max(axis=0)
    thin, thick = (thin, thick) if light else (thick, thin)
    yield Attempt("thicker strokes", thin, None)
    yield Attempt("thicker strokes (by half)", _between(images, thin), None)
    yield Attempt("thinner strokes", thick, None)
    yield Attempt("thinner strokes (by half)", _between(images, thick), None)
    yield Attempt("noise", np.partition(around, 4, axis=0)[4], None)


def _left_out(images: Images) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Which images stay where those of a kind are left out."""
    count = len(images)
    flat = images.reshape(count, -1)
    yield BLANK, flat.max(axis=1).astype(int) - flat.min(axis=1) >= SAME
    _, first = np.unique(flat, axis=0, return_index=True)
    yield COPIES, np.isin(np.arange(count), first)


def _turned(images: Images) -> Iterator[tuple[str, Images]]:
    yield "mirrored left to right", images[:, :, ::-1]
    yield "mirrored top to bottom", images[:, ::-1]
    yield "turned by 180 degrees", images[:, ::-1, ::-1]
    if images.shape[1] == images.shape[2]:
        across = images.transpose(0, 2, 1)
        yield "transposed", across
        yield "turned by 90 degrees to the left", across[:, :, ::-1]
        yield "turned by 90 degrees to the right", across[:, ::-1]


def _shifted_back(images: Images, reference: Reference) -> Images:
    """Moves images so that their mean is most like the training split's."""
    wanted = reference.train.mean_image
    mean = mean_of_cells(images)
    reaches = [range(-(side // REACH), side // REACH + 1) for side in wanted.shape]

    def apart(move: tuple[int, ...]) -> float:
        return float(np.square(np.roll(mean, move, (0, 1)) - wanted).sum())

    best = min(product(*reaches), key=apart)
    # Cells of the mean image are pixels, unless images are large.
    pixels = [
        round(cells * side / most)
        for cells, side, most in zip(best, images.shape[1:], wanted.shape, strict=True)
    ]
    return np.roll(images, pixels, (1, 2))


def _mapped_back(images: Images, wanted: Images) -> Images:
    """Stretches grey values so that their darkest and brightest are those of ``wanted``."""
    low, high = np.percentile(images, EXTREMES)
    wanted_low, wanted_high = np.percentile(wanted, EXTREMES)
    scale = (wanted_high - wanted_low) / max(1, high - low)
    return np.clip((images - low) * scale + wanted_low, 0, 255).round().astype(np.uint8)


def _between(images: Images, others: Images) -> Images:
    return ((images.astype(np.uint16) + others) // 2).astype(np.uint8)


def _neighbours(images: Images) -> npt.NDArray[np.uint8]:
    """Images moved by up to a pixel each way: ``[9, n, height, width]``."""
    height, width = images.shape[1:]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), "edge")
    return np.stack(
        [
            padded[:, down : down + height, right : right + width]
            for down, right in product(range(3), repeat=2)
        ]
    )
