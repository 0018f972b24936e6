"""Where batches come from: a split held in memory or streamed from its shards, and shifted.

Both give blocks of whole batches. Everything random follows from the seed and the step, so that a
step number is the whole data position, and a run that goes on sees just what it would have seen.

An image is held as one line of pixels, row after row, between two margins of background. A shifted
image is then as many pixels in one piece, begun earlier or later; all that is left to do is to
blank what a shift to the side carries from the end of one row to the start of the next.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from math import prod
from typing import NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla
from tensorflow.compiler.xla import xla_data_pb2

from components.config import Train
from components.shared.records import Images, ImageShape
from components.shared.shards import Chunk, Examples, Shards, batch_limit, prefetch
from components.train import deform

CHUNK = 1_024  # records, at most, that are read as one
POOL = 16  # chunks that streaming shuffles together
DEFORMATIONS = 1 << 31  # what their seed has in place of an epoch, which none reaches
DRAWS = 1 << 20  # shifts that a run which goes on draws at a time, to pass those of its past


class Minibatch(NamedTuple):
    """A batch's part of a block's order, shifts and deformations."""

    rows: tf.Tensor
    shifts: tf.Tensor
    deformations: tf.Tensor

    def part(self, number: tf.Tensor, parts: int) -> "Minibatch":
        """Returns one of so many equal parts of it."""
        split = (tf.reshape(its, [parts, its.shape[0] // parts, *its.shape[1:]]) for its in self)
        return Minibatch(*(its[number] for its in split))


class Block(NamedTuple):
    """Examples, and the order in which some batches visit them."""

    images: tf.Tensor  # uint8 [examples, line], see lay_out; int32, deform.lay_out, to deform them
    labels: tf.Tensor  # int32 [examples]
    order: tf.Tensor  # int32 [batches, batch_size]: rows of images
    shifts: tf.Tensor  # int32 [batches, batch_size]: where to cut the images, see cut
    deformations: tf.Tensor  # int8 [batches, batch_size, 2, …], see deform.py

    def batch(self, number: tf.Tensor) -> Minibatch:
        """Returns the batch of a number."""
        return Minibatch(self.order[number], self.shifts[number], self.deformations[number])


@dataclass(frozen=True)
class Share:
    """A worker's part of the training split: as many records as every other worker's, nearly.

    All workers begin an epoch at the same step, so that none sees its records more often.
    """

    shards: Shards  # that hold the worker's records
    chunks: list[Chunk]  # the worker's records
    batch_size: int  # examples of a batch that are this worker's
    steps_an_epoch: int  # whole batches; what is left over differs from epoch to epoch
    worker: int

    @classmethod
    def of(cls, split: Shards, batch_size: int, worker: int = 0, workers: int = 1) -> Self:
        """Deals a worker its part.

        Args:
            split: All shards of the training split.
            batch_size: Examples of a batch, of all workers together.
            worker: Which worker, from 0.
            workers: How many there are; the batch size is a multiple of it.
        """
        start = split.records * worker // workers
        stop = split.records * (worker + 1) // workers
        chunks, first = [], 0
        for chunk in split.chunks(batch_limit(split.image_shape, CHUNK)):
            begin, end = max(start, first), min(stop, first + chunk.records)
            if begin < end:
                chunks.append(Chunk(chunk.shard, chunk.start + begin - first, end - begin))
            first += chunk.records
        files = {chunk.shard.file for chunk in chunks}
        shards = [shard for shard in split.shards if shard.file in files]
        return cls(
            dataclasses.replace(split, shards=shards),
            chunks,
            batch_size // workers,
            split.records // batch_size,
            worker,
        )

    @property
    def records(self) -> int:
        """The worker's records."""
        return sum(chunk.records for chunk in self.chunks)

    def generator(self, seed: int, *key: int) -> np.random.Generator:
        """Returns the generator of one of the worker's random orders."""
        return np.random.default_rng(self.sequence(seed, *key))

    def sequence(self, seed: int, *key: int) -> np.random.SeedSequence:
        """Returns the seed of something random of the worker's own."""
        return np.random.SeedSequence(seed, spawn_key=(self.worker, *key))


class Batches(Protocol):
    """The training split as blocks of batches."""

    def blocks(self, step: int) -> Iterator[Block]:
        """Yields the blocks from a step on, a block a compiled loop, to the last step."""


class Resident:
    """The whole share in memory as uint8; a block is an order over it."""

    def __init__(self, config: Train, share: Share) -> None:
        self._config = config
        self._share = share
        self._permutation = lru_cache(maxsize=2)(self._shuffle)
        share.shards.check()
        images, labels = [], []
        for examples in prefetch(share.shards.read([chunk]) for chunk in share.chunks):
            images.append(hold(config, examples.images))
            labels.append(examples.labels)
        self._images = tf.concat(images, 0)
        self._labels = tf.concat(labels, 0)

    def blocks(self, step: int) -> Iterator[Block]:
        """See :class:`Batches`."""
        draw = draws_from(self._config, self._share, step)
        for start, stop in _bounds(self._config, step):
            order = np.stack([self._batch(number) for number in range(start, stop)])
            yield Block(self._images, self._labels, tf.constant(order), *draw(stop - start))

    def _batch(self, step: int) -> npt.NDArray[np.int32]:
        epoch, batch = divmod(step, self._share.steps_an_epoch)
        size = self._share.batch_size
        return self._permutation(epoch)[batch * size : (batch + 1) * size]

    def _shuffle(self, epoch: int) -> npt.NDArray[np.int32]:
        generator = self._share.generator(self._config.seed, epoch)
        return generator.permutation(self._share.records).astype(np.int32)


class Streaming:
    """The share read from its shards as training goes; a block holds just its own examples.

    An epoch takes the chunks of all shards in a random order and shuffles them record by record,
    a pool of chunks at a time. The pools that a run passed before it stopped are not read again.
    """

    def __init__(self, config: Train, share: Share) -> None:
        self._config = config
        self._share = share
        share.shards.check()  # now, since its chunks are read in no order

    def blocks(self, step: int) -> Iterator[Block]:
        """See :class:`Batches`."""
        return prefetch(self._blocks(step))

    def _blocks(self, step: int) -> Iterator[Block]:
        size = self._share.batch_size
        draw = draws_from(self._config, self._share, step)
        pools = self._pools(step)
        held = next(pools)
        for start, stop in _bounds(self._config, step):
            examples, held = _take(held, pools, (stop - start) * size)
            yield Block(
                hold(self._config, examples.images),
                tf.constant(examples.labels),
                tf.reshape(tf.range(len(examples.labels)), [-1, size]),
                *draw(stop - start),
            )

    def _pools(self, step: int) -> Iterator[Examples]:
        """Yields the shuffled examples of each pool, from a step on and for ever."""
        chunks = self._share.chunks
        size, length = self._share.batch_size, self._share.steps_an_epoch
        skip = step % length * size  # examples visited already, and then those of the epoch
        for epoch in count(step // length):
            left = length * size  # what is left over at an epoch's end is not visited
            order = self._share.generator(self._config.seed, epoch).permutation(len(chunks))
            for first in range(0, len(order), POOL):
                pool = [chunks[place] for place in order[first : first + POOL]]
                records = sum(chunk.records for chunk in pool)
                if skip < (stop := min(records, left)):
                    generator = self._share.generator(self._config.seed, epoch, first)
                    rows = generator.permutation(records)[skip:stop]
                    examples = self._share.shards.read(pool)
                    yield Examples(examples.images[rows], examples.labels[rows])
                skip, left = max(0, skip - stop), left - stop


def _take(held: Examples, pools: Iterator[Examples], size: int) -> tuple[Examples, Examples]:
    """Takes so many examples from those held and the pools after; returns them, and the rest."""
    parts = [held]
    while sum(len(part.labels) for part in parts) < size:
        parts.append(next(pools))
    images, labels = map(np.concatenate, zip(*parts, strict=True))
    return Examples(images[:size], labels[:size]), Examples(images[size:], labels[size:])


def open_batches(config: Train, share: Share) -> Batches:
    """Opens a share of the training split the way the configuration asks for."""
    line = hold(config, np.zeros((1, *share.shards.image_shape), np.uint8))
    fits = share.records * line.numpy().nbytes <= config.resident_mib << 20
    resident = fits if config.data_path == "auto" else config.data_path == "resident"
    return (Resident if resident else Streaming)(config, share)


def end_of_block(config: Train, step: int) -> int:
    """Returns where the block that starts at a step ends: at a status line, or the last step."""
    return min((step // config.log_every + 1) * config.log_every, config.max_steps)


def _bounds(config: Train, step: int) -> Iterator[tuple[int, int]]:
    while step < config.max_steps:
        stop = end_of_block(config, step)
        yield step, stop
        step = stop


def draws_from(
    config: Train, share: Share, step: int
) -> Callable[[int], tuple[tf.Tensor, tf.Tensor]]:
    """Returns a function that draws a block's shifts and deformations, of so many steps."""
    shifts = shifts_from(config, share, step)
    seed = share.sequence(config.seed, DEFORMATIONS)
    deformations = deform.draws_from(config, seed, share.batch_size, step)
    return lambda steps: (tf.constant(shifts(steps)), tf.constant(deformations(steps)))


def shifts_from(config: Train, share: Share, step: int) -> Callable[[int], npt.NDArray[np.int32]]:
    """Returns a function that draws the shifts of the next so many steps, from a step on.

    They are consecutive draws of one generator. An image's own takes one number of it, so that
    those of the steps before are jumped over. A whole batch's may take several, and is drawn once
    more and forgotten: 10⁹ take seconds, and no memory.

    Returns:
        The function: which of the (2·radius + 1)² shifts, int32 ``[steps, batch_size]``.
    """
    number, size = (2 * config.shift + 1) ** 2, share.batch_size
    if config.shift_each == "image":
        bits = np.random.PCG64(share.sequence(config.seed)).advance(step * size)
        generator = np.random.Generator(bits)
        return lambda steps: (generator.random((steps, size)) * number).astype(np.int32)
    generator = np.random.default_rng(config.seed)  # the same for all workers

    def draw(steps: int) -> npt.NDArray[np.int32]:
        drawn = generator.integers(number, size=(steps, 1), dtype=np.int32)
        return np.broadcast_to(drawn, (steps, size))

    for passed in range(0, step, DRAWS):
        draw(min(DRAWS, step - passed))
    return draw


def hold(config: Train, images: Images) -> tf.Tensor:
    """Returns images as a block holds them."""
    return deform.lay_out(images) if deform.deforms(config) else lay_out(images, config.shift)


def images_of(
    config: Train,
    block: Block,
    batch: Minibatch,
    image_shape: ImageShape,
    compiled: bool,
) -> tf.Tensor:
    """Returns a batch's images, each shifted and deformed.

    Args:
        config: How they are moved.
        block: Holds them.
        batch: Which of them, and how each is moved.
        image_shape: Height and width of the images.
        compiled: Whether XLA compiles this.

    Returns:
        uint8 ``[batch, height, width]``; of deformed images float32, from 0 to 255.
    """
    rows, shifts, deformations = batch
    if not deform.deforms(config):
        return cut(block.images, rows, shifts, image_shape, config.shift, compiled)
    side = 2 * config.shift + 1
    moves = shifts // side - config.shift, shifts % side - config.shift
    images = tf.gather(block.images, rows)
    return deform.deform(images, moves, deformations, image_shape, config)


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
    shifts: tf.Tensor,
    image_shape: ImageShape,
    radius: int,
    compiled: bool,
) -> tf.Tensor:
    """Cuts a batch out of laid-out images, each shifted.

    Args:
        lines: uint8 ``[examples, line_length(image_shape, radius)]``.
        rows: int32 ``[batch]``: which of the examples.
        shifts: int32 ``[batch]``, which of the (2·radius + 1)² shifts: from where an image's first
            pixel is taken, ``radius`` up and left of it at 0, then on to the right, row by row.
        image_shape: Height and width of the images.
        radius: Pixels that the images may be shifted by, each way.
        compiled: Whether XLA compiles this.

    Returns:
        uint8 ``[batch, height, width]``.
    """
    height, width = image_shape
    if not radius:
        return tf.reshape(tf.gather(lines, rows), [-1, height, width])
    down, right = shifts // (2 * radius + 1), shifts % (2 * radius + 1)
    windows = _windows_compiled if compiled else _windows
    pixels = windows(lines, rows, down * width + right, height * width)
    # A table of pixels: XLA takes longer to compare the columns of each of them.
    inside = [_inside(image_shape, move) for move in range(-radius, radius + 1)]
    pixels *= tf.gather(tf.constant(np.stack(inside)), right)
    return tf.reshape(pixels, [-1, height, width])


def _windows(lines: tf.Tensor, rows: tf.Tensor, begins: tf.Tensor, length: int) -> tf.Tensor:
    """Takes of each row so many pixels in one piece, from where it begins."""
    taken = tf.gather(lines, rows)
    begins += tf.range(rows.shape[0]) * taken.shape[1]
    return tf.gather(tf.reshape(taken, [-1]), begins[:, tf.newaxis] + tf.range(length))


def _windows_compiled(
    lines: tf.Tensor, rows: tf.Tensor, begins: tf.Tensor, length: int
) -> tf.Tensor:
    """Does the same by XLA's own gather, which copies pieces and not pixels."""
    numbers = xla_data_pb2.GatherDimensionNumbers(
        offset_dims=[1], collapsed_slice_dims=[0], start_index_map=[0, 1], index_vector_dim=1
    )
    return xla.gather(lines, tf.stack([rows, begins], 1), numbers, [1, length])


def _inside(image_shape: ImageShape, right: int) -> Images:
    """Marks, of all pixels, 1 for those whose column is in the image after the move, else 0."""
    height, width = image_shape
    columns = np.arange(width) + right
    return np.tile((columns >= 0) & (columns < width), height).astype(np.uint8)


def _margin(image_shape: ImageShape, radius: int) -> int:
    return radius * (image_shape[1] + 1)
