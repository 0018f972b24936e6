"""Random shifts: how images are held, and how a batch of them is cut out at another place.

An image is held as one line of pixels, row after row, between two margins of background. A shifted
image is then as many pixels in one piece, begun earlier or later; all that is left to do is to
blank what a shift to the side carries from the end of one row to the start of the next.
"""

from collections.abc import Callable
from math import prod

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.config import Train
from components.shared.records import ImageShape
from components.train.model import normalize


def draw(config: Train) -> npt.NDArray[np.int32]:
    """Draws for every step, int32 ``[max_steps]``, which of the (2·radius + 1)² shifts it takes."""
    shifts = (2 * config.shift + 1) ** 2
    generator = np.random.default_rng(config.seed)
    return generator.integers(shifts, size=config.max_steps, dtype=np.int32)


def line_length(image_shape: ImageShape, radius: int) -> int:
    """Returns how many pixels an image is held in, for shifts of up to ``radius`` pixels."""
    return prod(image_shape) + 2 * _margin(image_shape, radius)


def lay_out(images: tf.Tensor, radius: int) -> tf.Tensor:
    """Turns images ``[n, height, width]`` into lines ``[n, line_length(…, radius)]``."""
    height, width = images.shape[1:]
    margin = _margin((height, width), radius)
    return tf.pad(tf.reshape(images, [-1, height * width]), [[0, 0], [margin, margin]])


def cut(
    lines: tf.Tensor,
    rows: tf.Tensor,
    shift: tf.Tensor,
    image_shape: ImageShape,
    radius: int,
    precision: str = "float32",
    band: slice | None = None,
) -> tf.Tensor:
    """Cuts a batch out of laid-out images, all shifted alike, as the network's input.

    Args:
        lines: uint8 ``[examples, line_length(image_shape, radius)]``.
        rows: int32 ``[batch]``: which of the examples.
        shift: int32 scalar, which of the (2·radius + 1)² shifts: from where an image's first pixel
            is taken, ``radius`` up and left of it at 0, then on to the right, row by row.
        image_shape: Height and width of the images.
        radius: Pixels of the largest shift.
        precision: See :func:`components.train.model.normalize`.
        band: Which of an image's pixels; None is all of them.

    Returns:
        ``[batch, pixels]``, 0 to 1: all pixels, or those of the band.
    """
    band = band or slice(0, prod(image_shape))

    def cut_at(down: int, right: int) -> Callable[[], tf.Tensor]:
        begin = _margin(image_shape, radius) + down * image_shape[1] + right
        inside = _inside(image_shape, right)[band]

        def pixels() -> tf.Tensor:
            held = tf.gather(lines, rows)[:, begin + band.start : begin + band.stop]
            moved = normalize(held, precision)
            return moved * tf.constant(inside, precision) if right else moved

        return pixels

    # A begin that is computed would have XLA compile anew for each block, and one pass over the
    # batch is only made of what is in one branch.
    moves = range(-radius, radius + 1)
    cuts = [cut_at(down, right) for down in moves for right in moves]
    return cuts[0]() if radius == 0 else tf.switch_case(shift, cuts)


def _margin(image_shape: ImageShape, radius: int) -> int:
    return radius * (image_shape[1] + 1)


def _inside(image_shape: ImageShape, right: int) -> npt.NDArray[np.float32]:
    """Marks, of all pixels, 1 for those whose column is in the image after the move, else 0."""
    height, width = image_shape
    columns = np.arange(width) + right
    return np.tile((columns >= 0) & (columns < width), height).astype(np.float32)
