"""``shown.png``: some training images, and below each how training shifts and deforms it."""

import numpy as np
import tensorflow as tf

from components.config import Train
from components.train import deform
from components.train.batches import Block, Share, draws_from, hold, images_of

IMAGES, STEPS = 10, 4  # columns of the picture, and rows under the first
WIDTH = 1_000  # pixels of the picture, at most; it has room for the widest image
GAP = 2  # transparent pixels between images


def picture(config: Train, share: Share) -> bytes | None:
    """Draws the first images of a worker's share, shifted and deformed as in training.

    Returns:
        A grey PNG: in the first row the images as they are, in each of the others moved as a step
        would move them; None where nothing is moved.
    """
    if not (config.shift or deform.deforms(config)):
        return None
    image_shape = share.shards.image_shape
    width = image_shape[1]
    first = share.chunks[0]
    count = min(IMAGES, WIDTH // (width + GAP), share.batch_size, first.records)
    images, labels = share.shards.read([first._replace(records=count)])
    shifts, deformations = (drawn[:, :count] for drawn in draws_from(config, share, 0)(STEPS))
    rows = tf.tile(tf.range(count)[tf.newaxis], [STEPS, 1])
    block = Block(hold(config, images), tf.constant(labels), rows, shifts, deformations)
    grid = [images]
    for step in range(STEPS):
        moved = images_of(config, block, block.batch(step), image_shape, compiled=False)
        grid.append(tf.cast(moved, tf.uint8).numpy())
    greys = np.stack(grid)
    opaque = np.stack([greys, np.full_like(greys, 255)], axis=-1)
    parted = np.pad(opaque, [[0, 0], [0, 0], [0, GAP], [0, GAP], [0, 0]])
    lines = parted.swapaxes(1, 2).reshape(-1, count * (width + GAP), 2)
    return tf.io.encode_png(lines[:-GAP, :-GAP]).numpy()
