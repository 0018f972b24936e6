"""Where batches come from: a split held in memory, or streamed from its shards.

Both give blocks of whole batches. Everything random follows from the seed and the step, so that a
step number is the whole data position, and a run that goes on sees just what it would have seen.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.shared.examples import parse, read_split
from components.shared.records import IMAGE_SHAPE
from pipeline.config import Train

SHUFFLE_BUFFER = 16_384  # records, when streaming
READ_BATCH = 5_000  # records, when reading a split into memory


class Block(NamedTuple):
    """Examples, and the order in which some batches visit them."""

    images: tf.Tensor  # uint8 [examples, height, width], padded by the shift on each side
    labels: tf.Tensor  # int32 [examples]
    order: tf.Tensor  # int32 [batches, batch_size]: rows of images
    shifts: tf.Tensor  # int32 [batches]: where to cut the images, see loop.crop


class Batches(Protocol):
    """The training split as blocks of batches."""

    def blocks(self, step: int) -> Iterator[Block]:
        """Yields the blocks from a step on, a block a compiled loop, to the last step."""


class Resident:
    """The whole split in memory as uint8; a block is an order over it."""

    def __init__(self, config: Train, files: list[str], records: int) -> None:
        self.config = config
        self.records = records
        self.shifts = draw_shifts(config)
        images, labels = [], []
        for some_images, some_labels in read_split(files, READ_BATCH):
            images.append(pad(some_images, config.shift))
            labels.append(some_labels)
        self.images = tf.concat(images, 0)
        self.labels = tf.concat(labels, 0)
        self._permutation = lru_cache(maxsize=2)(self._shuffle)

    def blocks(self, step: int) -> Iterator[Block]:
        """See :class:`Batches`."""
        while step < self.config.max_steps:
            count = block_size(self.config, step)
            order = tf.constant(np.stack([self._batch(step + i) for i in range(count)]))
            shifts = tf.constant(self.shifts[step : step + count])
            yield Block(self.images, self.labels, order, shifts)
            step += count

    def _batch(self, step: int) -> npt.NDArray[np.int32]:
        epoch, batch = divmod(step, self.records // self.config.batch_size)
        size = self.config.batch_size
        return self._permutation(epoch)[batch * size : (batch + 1) * size]

    def _shuffle(self, epoch: int) -> npt.NDArray[np.int32]:
        seed = np.random.SeedSequence(self.config.seed, spawn_key=(epoch,))
        return np.random.default_rng(seed).permutation(self.records).astype(np.int32)


class Streaming:
    """The split read from its shards as training goes; a block holds just its own examples."""

    def __init__(self, config: Train, files: list[str], records: int) -> None:
        self.config = config
        self.files = files
        self.records = records
        self.shifts = draw_shifts(config)

    def blocks(self, step: int) -> Iterator[Block]:
        """See :class:`Batches`."""
        config = self.config
        examples = config.log_every * config.batch_size
        epoch, batch = divmod(step, self.records // config.batch_size)
        records = (
            tf.data.Dataset.range(epoch, np.iinfo(np.int64).max)
            .flat_map(self._epoch)
            .skip(batch * config.batch_size)
            .batch(examples, drop_remainder=True)
            .map(parse, tf.data.AUTOTUNE)
            .map(lambda images, labels: (pad(images, config.shift), labels), tf.data.AUTOTUNE)
            .prefetch(2)
        )
        for images, labels in records:
            count = block_size(config, step)
            order = tf.reshape(tf.range(count * config.batch_size), [count, config.batch_size])
            shifts = tf.constant(self.shifts[step : step + count])
            yield Block(images, labels, order, shifts)
            step += count
            if step == config.max_steps:
                return

    def _epoch(self, epoch: tf.Tensor) -> tf.data.Dataset:
        """One epoch's serialized records, shuffled, without the last partial batch."""
        seed = tf.stack([tf.constant(self.config.seed, tf.int64), epoch])
        drawn = tf.random.stateless_uniform([], seed, None, None, tf.int64)
        shards = tf.random.experimental.stateless_shuffle(tf.constant(self.files), seed)
        whole = self.records - self.records % self.config.batch_size
        return (
            tf.data.Dataset.from_tensor_slices(shards)
            .interleave(
                lambda file: tf.data.TFRecordDataset(file, buffer_size=1 << 20),
                cycle_length=4,
                block_length=64,
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
            .shuffle(SHUFFLE_BUFFER, seed=drawn, reshuffle_each_iteration=False)
            .take(whole)
        )


def open_batches(config: Train, records: int, files: list[str]) -> Batches:
    """Opens the training split the way the configuration asks for."""
    side = IMAGE_SHAPE[0] + 2 * config.shift
    fits = records * side * side <= config.resident_mib << 20
    resident = fits if config.data_path == "auto" else config.data_path == "resident"
    return (Resident if resident else Streaming)(config, files, records)


def block_size(config: Train, step: int) -> int:
    """Steps of the block that starts at a step: up to the next status line, or the last step."""
    return min(config.log_every - step % config.log_every, config.max_steps - step)


def draw_shifts(config: Train) -> npt.NDArray[np.int32]:
    """Draws for every step, int32 ``[max_steps]``, at which of the possible offsets to cut."""
    offsets = (2 * config.shift + 1) ** 2
    generator = np.random.default_rng(config.seed)
    return generator.integers(offsets, size=config.max_steps, dtype=np.int32)


def pad(images: tf.Tensor, shift: int) -> tf.Tensor:
    """Pads images ``[n, height, width]`` with background by ``shift`` pixels on each side."""
    return tf.pad(images, [[0, 0], [shift, shift], [shift, shift]])
