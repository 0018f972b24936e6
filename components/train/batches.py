"""Where batches come from: a split held in memory, or streamed from its shards.

Both give blocks of whole batches. Everything random follows from the seed and the step, so that a
step number is the whole data position, and a run that goes on sees just what it would have seen.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, pairwise
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.config import Train
from components.shared.shards import Examples, Shards, batch_limit, prefetch
from components.train import shifts

CHUNK = 1_024  # records, at most, that streaming reads as one
POOL = 16  # chunks that it shuffles together


class Block(NamedTuple):
    """Examples, and the order in which some batches visit them."""

    images: tf.Tensor  # uint8 [examples, line], see shifts.lay_out
    labels: tf.Tensor  # int32 [examples]
    order: tf.Tensor  # int32 [batches, batch_size]: rows of images
    shifts: tf.Tensor  # int32 [batches]: where to cut the images, see shifts.cut


@dataclass(frozen=True)
class Share:
    """A worker's part of the training split."""

    shards: Shards
    batch_size: int  # examples of a batch that are this worker's
    worker: int

    @property
    def steps_an_epoch(self) -> int:
        """Whole batches in the share; what is left over differs from epoch to epoch."""
        return self.shards.records // self.batch_size

    def generator(self, seed: int, *key: int) -> np.random.Generator:
        """Returns the generator of one of the worker's random orders."""
        sequence = np.random.SeedSequence(seed, spawn_key=(self.worker, *key))
        return np.random.default_rng(sequence)


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
        for batch in share.shards.batches():
            images.append(shifts.lay_out(batch.images, config.shift))
            labels.append(batch.labels)
        self._images = tf.concat(images, 0)
        self._labels = tf.concat(labels, 0)

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
        generator = self._share.generator(self._config.seed, epoch)
        return generator.permutation(self._share.shards.records).astype(np.int32)


class Streaming:
    """The share read from its shards as training goes; a block holds just its own examples.

    An epoch takes the chunks of all shards in a random order and shuffles them record by record,
    a pool of chunks at a time. The pools that a run passed before it stopped are not read again.
    """

    def __init__(self, config: Train, share: Share) -> None:
        self._config = config
        self._share = share
        self._shifts = shifts.draw(config)
        self._chunks = share.shards.chunks(batch_limit(share.shards.image_shape, CHUNK))
        share.shards.check()  # now, since its chunks are read in no order

    def blocks(self, step: int) -> Iterator[Block]:
        """See :class:`Batches`."""
        return prefetch(self._blocks(step))

    def _blocks(self, step: int) -> Iterator[Block]:
        size = self._share.batch_size
        steps = [step]
        while steps[-1] < self._config.max_steps:
            steps.append(end_of_block(self._config, steps[-1]))
        records = [(stop - start) * size for start, stop in pairwise(steps)]
        cut = _regroup(self._pools(step), records)
        for (start, stop), examples in zip(pairwise(steps), cut, strict=True):
            yield Block(
                shifts.lay_out(examples.images, self._config.shift),
                tf.constant(examples.labels),
                tf.reshape(tf.range(len(examples.labels)), [-1, size]),
                tf.constant(self._shifts[start:stop]),
            )

    def _pools(self, step: int) -> Iterator[Examples]:
        """Yields the shuffled examples of each pool, from a step on and for ever."""
        size, length = self._share.batch_size, self._share.steps_an_epoch
        skip = step % length * size  # examples visited already, and then those of the epoch
        for epoch in count(step // length):
            left = length * size  # what is left over at an epoch's end is not visited
            order = self._share.generator(self._config.seed, epoch).permutation(len(self._chunks))
            for first in range(0, len(order), POOL):
                pool = [self._chunks[place] for place in order[first : first + POOL]]
                records = sum(chunk.records for chunk in pool)
                if skip < (stop := min(records, left)):
                    generator = self._share.generator(self._config.seed, epoch, first)
                    rows = generator.permutation(records)[skip:stop]
                    examples = self._share.shards.read(pool)
                    yield Examples(examples.images[rows], examples.labels[rows])
                skip, left = max(0, skip - stop), left - stop


def _regroup(pieces: Iterator[Examples], sizes: Iterable[int]) -> Iterator[Examples]:
    """Cuts the examples of some pieces anew, into pieces of the sizes."""
    held = next(pieces)
    for size in sizes:
        parts = [held]
        while sum(len(part.labels) for part in parts) < size:
            parts.append(next(pieces))
        images, labels = map(np.concatenate, zip(*parts, strict=True))
        yield Examples(images[:size], labels[:size])
        held = Examples(images[size:], labels[size:])


def open_batches(config: Train, share: Share) -> Batches:
    """Opens a share of the training split the way the configuration asks for."""
    line = shifts.line_length(share.shards.image_shape, config.shift)
    fits = share.shards.records * line <= config.resident_mib << 20
    resident = fits if config.data_path == "auto" else config.data_path == "resident"
    return (Resident if resident else Streaming)(config, share)


def end_of_block(config: Train, step: int) -> int:
    """Returns where the block that starts at a step ends: at a status line, or the last step."""
    return min((step // config.log_every + 1) * config.log_every, config.max_steps)
