"""Training as commit 8482e98 had it, with the default settings: the weights that it ends with.

A copy, kept as it was, of all that decides on them, so that a test compares the two on the machine
it runs on: what XLA makes of the same sums differs between kinds of CPU.
"""

import itertools
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from components.shared.manifests import Dataset
from components.shared.shards import Shards

HEIGHT, WIDTH, CLASSES = 28, 28, 10
PIXELS, BATCH, BLOCK, RATE = HEIGHT * WIDTH, 100, 100, 0.5
BANDS = (slice(0, PIXELS // 2), slice(PIXELS // 2, PIXELS))
MARGIN = WIDTH + 1  # of a shift of one pixel
Weights = list[tf.Tensor]


def weights_of(examples: Path, steps: int, seed: int) -> list[npt.NDArray[np.float32]]:
    """Trains on a dataset of 28 x 28 images of 10 classes, in memory; returns the weights."""
    split = Shards.of(Dataset.read(examples), examples, "train")
    images, labels = map(np.concatenate, zip(*split.batches(), strict=True))
    flat = tf.reshape(images, [-1, PIXELS])
    lines, labels = tf.pad(flat, [[0, 0], [MARGIN, MARGIN]]), tf.constant(labels)
    shifts = np.random.default_rng(seed).integers(9, size=steps, dtype=np.int32)
    weights = _initial(seed)
    for start in range(0, steps, BLOCK):
        taken = range(start, min(start + BLOCK, steps))
        order = np.stack([_batch(step, len(labels), seed) for step in taken])
        drawn = tf.constant(shifts[taken.start : taken.stop])
        weights = _block(lines, labels, tf.constant(order), drawn, start, weights, steps)
    return [weight.numpy() for weight in weights]


def _initial(seed: int) -> Weights:
    units = (PIXELS, 128, 32, CLASSES)
    weights = []
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(units)):
        stddev = 1 / math.sqrt(fan_in)
        shape = [fan_in, fan_out]
        weights += [
            tf.random.stateless_truncated_normal(shape, seed=[seed, layer], stddev=stddev),
            tf.zeros([fan_out]),
        ]
    return weights


def _batch(step: int, records: int, seed: int) -> npt.NDArray[np.int32]:
    epoch, batch = divmod(step, records // BATCH)
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, epoch)))
    permutation = generator.permutation(records).astype(np.int32)
    return permutation[batch * BATCH : (batch + 1) * BATCH]


def _cut(lines: tf.Tensor, rows: tf.Tensor, shift: tf.Tensor, band: slice) -> tf.Tensor:
    begin = [0, band.start + shift // 3 * WIDTH + shift % 3]
    held = xla.dynamic_slice(tf.gather(lines, rows), begin, [rows.shape[0], band.stop - band.start])
    inside = []
    for right in (-1, 0, 1):
        columns = np.arange(WIDTH) + right
        whole = np.tile((columns >= 0) & (columns < WIDTH), HEIGHT)
        inside.append(whole[band].astype(np.float32))
    return tf.cast(held, tf.float32) / 255 * tf.gather(tf.constant(np.stack(inside)), shift % 3)


def _logits(weights: Weights, bands: list[tf.Tensor]) -> tf.Tensor:
    upper, lower, biases1, weights2, biases2, weights3, biases3 = weights
    units = tf.nn.relu(tf.add_n([bands[0] @ upper, bands[1] @ lower]) + biases1)
    return tf.nn.relu(units @ weights2 + biases2) @ weights3 + biases3


@tf.function(jit_compile=True, autograph=False)
def _block(
    lines: tf.Tensor,
    labels: tf.Tensor,
    order: tf.Tensor,
    shifts: tf.Tensor,
    start: tf.Tensor,
    weights: Weights,
    steps: int,
) -> Weights:
    def body(batch: tf.Tensor, weights: Weights) -> tuple[tf.Tensor, Weights]:
        rows = order[batch]
        bands = [_cut(lines, rows, shifts[batch], band) for band in BANDS]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.gather(labels, rows), _logits(weights, bands)
            )
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, weights)
        progress = tf.cast(tf.cast(start, tf.int32) + batch, tf.float32) / steps
        rate = RATE * 0.5 * (1 + tf.cos(math.pi * progress))
        return batch + 1, [w - rate * g for w, g in zip(weights, gradients, strict=True)]

    weights = [*(weights[0][band] for band in BANDS), *weights[1:]]
    _, weights = tf.while_loop(lambda batch, _: batch < order.shape[0], body, (0, weights))
    return [tf.concat(weights[:2], 0), *weights[2:]]
