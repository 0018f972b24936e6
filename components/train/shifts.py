"""Random shifts: how images are held, and how a batch of them is cut out at another place.

An image is held as one line of pixels, row after row, between two margins of background. A shifted
image is then as many pixels in one piece, begun earlier or later; all that is left to do is to
blank what a shift to the side carries from the end of one row to the start of the next.
"""

from math import prod

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

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
    config: Train,
    band: slice | None = None,
) -> tf.Tensor:
    """Cuts a batch out of laid-out images, all shifted alike, as the network's input.

    Args:
        lines: uint8 ``[examples, line_length(image_shape, radius)]``.
        rows: int32 ``[batch]``: which of the examples.
        shift: int32 scalar, which of the (2·radius + 1)² shifts: from where an image's first pixel
            is taken, ``radius`` up and left of it at 0, then on to the right, row by row.
        image_shape: Height and width of the images.
        config: Says the radius, the precision, and whether XLA compiles this.
        band: Which of an image's pixels; None is all of them.

    Returns:
        ``[batch, pixels]``, 0 to 1: all pixels, or those of the band.
    """
    band = band or slice(0, prod(image_shape))
    radius, width = config.shift, image_shape[1]
    down, right = shift // (2 * radius + 1), shift % (2 * radius + 1)
    # Compiled, tf.slice would have XLA compile anew for each place that it begins at.
    window = xla.dynamic_slice if config.xla else tf.slice
    begin = [0, band.start + down * width + right]
    held = window(tf.gather(lines, rows), begin, [rows.shape[0], band.stop - band.start])
    pixels = normalize(held, config.precision)
    if not radius:
        return pixels
    inside = [_inside(image_shape, move)[band] for move in range(-radius, radius + 1)]
    return pixels * tf.gather(tf.constant(np.stack(inside), config.precision), right)


def _margin(image_shape: ImageShape, radius: int) -> int:
    return radius * (image_shape[1] + 1)


def _inside(image_shape: ImageShape, right: int) -> npt.NDArray[np.float32]:
    """Marks, of all pixels, 1 for those whose column is in the image after the move, else 0."""
    height, width = image_shape
    columns = np.arange(width) + right
    return np.tile((columns >= 0) & (columns < width), height).astype(np.float32)
