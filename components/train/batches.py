"""Where batches come from: a split held in memory, or streamed from its shards.

Both give blocks of whole batches. Everything random follows from the seed and the step, so that a
step number is the whole data position, and a run that goes on sees just what it would have seen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.config import Train
from components.shared.errors import StepError
from components.shared.examples import parse, read_split
from components.shared.records import ImageShape
from components.train import shifts

CHUNK = 64  # records that streaming reads and shuffles as one
SHUFFLE_BUFFER = 256  # chunks


class Block(NamedTuple):
    """Examples, and the order in which some batches visit them."""

    images: tf.Tensor  # uint8 [examples, line], see shifts.lay_out
    labels: tf.Tensor  # int32 [examples]
    order: tf.Tensor  # int32 [batches, batch_size]: rows of images
    shifts: tf.Tensor  # int32 [batches]: where to cut the images, see shifts.cut


@dataclass(frozen=True)
class Share:
    """A worker's part of the training split."""

    files: list[str]
    image_shape: ImageShape
    classes: int
    records: int
    batch_size: int  # examples of a batch that are this worker's
    worker: int

    @property
    def steps_an_epoch(self) -> int:
        """Whole batches in the share; what is left over differs from epoch to epoch."""
        return self.records // self.batch_size


class Batches(Protocol):
    """The training split as blocks of batches."""

    def blocks(self, step: int) -> Iterator[Block]:
        """Yields the blocks from a step on, a block a compiled loop, to the last step."""


class Resident:
    """The whole share in memory as uint8; a block is an order over it."""

    def __init__(self, config: Train, share: Share) -> None:
        self._config = config
        self._share = share
        self._shifts = shifts.draw(config)
        self._permutation = lru_cache(maxsize=2)(self._shuffle)
        images, labels = [], []
        for some_images, some_labels in read_split(share.files, share.image_shape, share.classes):
            images.append(shifts.lay_out(some_images, config.shift))
            labels.append(some_labels)
        self._images = tf.concat(images, 0)
        self._labels = tf.concat(labels, 0)
        if len(self._labels) != share.records:
            raise StepError(
                f"{len(self._labels)} training records in {len(share.files)} shards, expected the "
                f"{share.records} of dataset.json; run ingest again"
            )

    def blocks(self, step: int) -> Iterator[Block]:
        """See :class:`Batches`."""
        while step < self._config.max_steps:
            stop = end_of_block(self._config, step)
            order = tf.constant(np.stack([self._batch(number) for number in range(step, stop)]))
            yield Block(self._images, self._labels, order, tf.constant(self._shifts[step:stop]))
            step = stop

    def _batch(self, step: int) -> npt.NDArray[np.int32]:
        epoch, batch = divmod(step, self._share.steps_an_epoch)
        size = self._share.batch_size
        return self._permutation(epoch)[batch * size : (batch + 1) * size]

    def _shuffle(self, epoch: int) -> npt.NDArray[np.int32]:
        key = (self._share.worker, epoch)
        generator = np.random.default_rng(np.random.SeedSequence(self._config.seed, spawn_key=key))
        return generator.permutation(self._share.records).astype(np.int32)


class Streaming:
    """The share read from its shards as training goes; a block holds just its own examples.

    Records are shuffled twice: in chunks as they are read, which spares most of the work that
    tf.data does for every element, and one by one within a block, by the order of its batches.
    """

    def __init__(self, config: Train, share: Share) -> None:
        self._config = config
        self._share = share
        self._shifts = shifts.draw(config)

    def blocks(self, step: int) -> Iterator[Block]:
        """See :class:`Batches`."""
        config = self._config
        epoch, batch = divmod(step, self._share.steps_an_epoch)
        blocks = (
            tf.data.Dataset.range(epoch, np.iinfo(np.int64).max)
            .flat_map(self._epoch)
            .skip(batch)
            .batch(config.log_every, drop_remainder=True)
            .map(self._parse, tf.data.AUTOTUNE)
            .prefetch(2)
        )
        for images, labels in blocks:
            stop = end_of_block(config, step)
            order = tf.constant(self._order(step)[: stop - step])
            yield Block(images, labels, order, tf.constant(self._shifts[step:stop]))
            step = stop
            if step == config.max_steps:
                return

    def _parse(self, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        share = self._share
        images, labels = parse(tf.reshape(serialized, [-1]), share.image_shape, share.classes)
        return shifts.lay_out(images, self._config.shift), labels

    def _order(self, step: int) -> npt.NDArray[np.int32]:
        """Shuffles the rows of a block, those of one epoch among themselves."""
        key = (self._share.worker, step)
        generator = np.random.default_rng(np.random.SeedSequence(self._config.seed, spawn_key=key))
        rows = np.arange(self._config.log_every * self._share.batch_size, dtype=np.int32)
        length = self._share.steps_an_epoch
        ends = np.arange(length - step % length, self._config.log_every, length)
        epochs = np.split(rows, ends * self._share.batch_size)
        shuffled = np.concatenate([generator.permutation(epoch) for epoch in epochs])
        return shuffled.reshape(-1, self._share.batch_size)

    def _epoch(self, epoch: tf.Tensor) -> tf.data.Dataset:
        """One epoch's serialized records in batches, without what is left over."""
        seeds = np.random.SeedSequence(self._config.seed, spawn_key=(self._share.worker,))
        key = tf.stack([tf.constant(seeds.generate_state(1)[0], tf.int64), epoch])
        return (
            tf.data.Dataset.from_tensor_slices(
                tf.random.experimental.stateless_shuffle(tf.constant(self._share.files), key)
            )
            .interleave(
                lambda file: tf.data.TFRecordDataset(file, buffer_size=1 << 20).batch(CHUNK),
                cycle_length=4,
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
            .shuffle(
                SHUFFLE_BUFFER,
                seed=tf.random.stateless_uniform([], key, None, None, tf.int64),
                reshuffle_each_iteration=False,
            )
            .rebatch(self._share.batch_size, drop_remainder=True)
        )


def open_batches(config: Train, share: Share) -> Batches:
    """Opens a share of the training split the way the configuration asks for."""
    line = shifts.line_length(share.image_shape, config.shift)
    fits = share.records * line <= config.resident_mib << 20
    resident = fits if config.data_path == "auto" else config.data_path == "resident"
    return (Resident if resident else Streaming)(config, share)


def end_of_block(config: Train, step: int) -> int:
    """Returns where the block that starts at a step ends: at a status line, or the last step."""
    return min((step // config.log_every + 1) * config.log_every, config.max_steps)
