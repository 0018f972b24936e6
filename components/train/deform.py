"""Deformations drawn anew for every image: an affine map and an elastic one, in one sampling.

A pixel of a deformed image is taken from a place between four pixels of the image. How far that
place lies off, each way, is a sum of fields that are the same for all images, each times a number
drawn for the image: two are its row and column, which makes an affine map, the others are bumps on
a grid, whose sum is as smooth as noise that was blurred. One product of matrices is the places of
a batch.

Source: Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to
visual document analysis", 2003.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.config import Train
from components.shared.records import ImageShape

GRID = 6  # bumps along each side of an image
WIDTH = 0.7  # their standard deviation, in distances between two of them
FIELDS = 2 + GRID**2

Draw = Callable[[int], npt.NDArray[np.int8]]


def deforms(config: Train) -> bool:
    """Whether a configuration has images deformed."""
    return bool(config.affine or config.elastic)


def draws_from(config: Train, seed: np.random.SeedSequence, batch_size: int, step: int) -> Draw:
    """Returns a function that draws the deformations of the next so many steps, from a step on.

    They are consecutive draws of one generator, and those of the steps before are jumped over.

    Returns:
        The function: int8 ``[steps, batch_size, 2, FIELDS]``, or 0 in place of the last where
        nothing is deformed.
    """
    fields = FIELDS if deforms(config) else 0
    numbers = batch_size * 2 * fields
    words = -(-numbers // 8)
    bits = np.random.PCG64(seed).advance(step * words)

    def draw(steps: int) -> npt.NDArray[np.int8]:
        drawn = bits.random_raw(steps * words).view(np.int8).reshape(steps, words * 8)
        return drawn[:, :numbers].reshape(steps, batch_size, 2, fields)

    return draw


def lay_out(images: tf.Tensor) -> tf.Tensor:
    """Puts four neighbouring pixels into one number each, so that one look takes them all.

    It is done before training: XLA would do it anew for each look.

    Args:
        images: uint8 ``[n, height, width]``.

    Returns:
        int32 ``[n, (height + 1) · (width + 1)]``: from its lowest byte on, a pixel, the one right
        of it, and both below, with background around the images.
    """
    framed = tf.cast(tf.pad(images, [[0, 0], [1, 1], [1, 1]]), tf.int32)
    pairs = framed[:, :, :-1] | tf.bitwise.left_shift(framed[:, :, 1:], 8)
    fours = pairs[:, :-1] | tf.bitwise.left_shift(pairs[:, 1:], 16)
    return tf.reshape(fours, [-1, math.prod(fours.shape[1:])])


def deform(
    lines: tf.Tensor,
    moves: tuple[tf.Tensor, tf.Tensor],
    drawn: tf.Tensor,
    image_shape: ImageShape,
    config: Train,
) -> tf.Tensor:
    """Moves and deforms a batch; what comes from outside an image is background.

    Args:
        lines: int32 ``[batch, (height + 1) · (width + 1)]``, see :func:`lay_out`.
        moves: int32 ``[batch]`` each: pixels further down and right from where images are taken.
        drawn: int8 ``[batch, 2, FIELDS]``: for rows and for columns, the factors of the fields.
        image_shape: Height and width of the images.
        config: How strongly.

    Returns:
        float32 ``[batch, height, width]``: grey values from 0 to 255.
    """
    height, width = image_shape
    factors, fields = tf.cast(drawn, tf.float32), tf.constant(_fields(config, image_shape))
    # Counted from the background, one pixel wide, that is laid around the image.
    places = np.indices(image_shape, np.float32).reshape(2, 1, -1) + 1
    (down, below), (right, behind) = (
        _split(
            places[axis] + tf.cast(move, tf.float32)[:, tf.newaxis] + factors[:, axis] @ fields,
            image_shape[axis],
        )
        for axis, move in enumerate(moves)
    )
    first = tf.range(lines.shape[0])[:, tf.newaxis] * lines.shape[1]
    four = tf.gather(tf.reshape(lines, [-1]), first + down * (width + 1) + right)
    upper = _between(four & 255, _byte(four, 1), behind)
    lower = _between(_byte(four, 2), _byte(four, 3), behind)
    return tf.reshape(upper + below * (lower - upper), [-1, height, width])


def _split(places: tf.Tensor, side: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits places along a side into a whole number and the rest, those outside at its ends."""
    places = tf.clip_by_value(places, 0.0, side + 1.0)
    whole = tf.minimum(tf.cast(places, tf.int32), side)
    return whole, places - tf.cast(whole, tf.float32)


def _byte(numbers: tf.Tensor, place: int) -> tf.Tensor:
    return tf.bitwise.right_shift(numbers, 8 * place) & 255


def _between(one: tf.Tensor, other: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    one, other = tf.cast(one, tf.float32), tf.cast(other, tf.float32)
    return one + share * (other - one)


def _fields(config: Train, image_shape: ImageShape) -> npt.NDArray[np.float32]:
    """Returns what is added up to how far a place lies off, ``[FIELDS, height · width]``.

    A factor is any whole number from -128 to 127, which is a uniform one of a standard deviation of
    128 / √3.
    """
    sides = [np.arange(side) - (side - 1) / 2 for side in image_shape]
    affine = [side.reshape(-1) for side in np.meshgrid(*sides, indexing="ij")]
    elastic = np.kron(*map(_bumps, image_shape))
    both = np.concatenate(
        [np.stack(affine) * config.affine, elastic * config.elastic * math.sqrt(3)]
    )
    return (both / 128).astype(np.float32)


def _bumps(side: int) -> npt.NDArray[np.float64]:
    """Returns bumps along a side, ``[GRID, side]``, whose squares add up to 1 everywhere."""
    distance = max(side - 1, 1) / (GRID - 1)
    centres = np.arange(GRID) * distance
    bumps = np.exp(-(((np.arange(side) - centres[:, np.newaxis]) / (WIDTH * distance)) ** 2) / 2)
    return bumps / np.sqrt((bumps**2).sum(0))
