"""Reading a dataset's shards as ingest wrote them, each held against dataset.json.

All records of a dataset have one length, so that a batch is a table over a piece of a file, without
TensorFlow and without parsing. What ties a shard to its dataset is the sha256 of the whole file: it
costs less than parsing its records would, and is computed by a thread while others work.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

from components.shared.errors import StepError
from components.shared.manifests import Dataset, Shard
from components.shared.records import Images, ImageShape, decode, record_length

# Records read at a time: with more, the heap of the thread that reads takes some hundred MiB more.
READ_BATCH = 1_000
PIXELS_AT_ONCE = 4 << 20  # so that memory does not grow with the size of images

Item = TypeVar("Item")


class Examples(NamedTuple):
    """Some records of a split."""

    images: Images  # uint8 [n, height, width]
    labels: npt.NDArray[np.int32]  # [n]


class Chunk(NamedTuple):
    """Consecutive records of a shard."""

    shard: Shard
    start: int  # the first record
    records: int


@dataclass(frozen=True)
class Shards:
    """Some shards of a dataset, in order."""

    directory: Path
    shards: list[Shard]
    image_shape: ImageShape
    classes: int

    @classmethod
    def of(cls, dataset: Dataset, directory: Path, split: str) -> Self:
        """Returns the shards of a split.

        Args:
            dataset: The manifest in ``directory``.
            directory: What ingest wrote.
            split: Which split.
        """
        shards = dataset.splits[split].shards
        return cls(directory, shards, dataset.image_shape, len(dataset.class_names))

    @property
    def records(self) -> int:
        """How many records there are."""
        return sum(shard.records for shard in self.shards)

    def batches(self, size: int = READ_BATCH) -> Iterator[Examples]:
        """Reads all records once, in order, the next batch while the last is in use.

        Args:
            size: Records of a batch, the last as short as it comes; fewer where images are large.

        Raises:
            StepError: A shard is not the one that ingest wrote. Batches of it may have been given
                before that is known: what is made of them must wait for the end.
        """
        self._check_sizes()
        return prefetch(self._read(batch_limit(self.image_shape, size)))

    def check(self) -> None:
        """Reads all shards, several at a time, and holds each against its sha256.

        Raises:
            StepError: A shard is not the one that ingest wrote.
        """
        self._check_sizes()
        with ThreadPoolExecutor() as threads:
            for shard, found in zip(
                self.shards, threads.map(self._sha256, self.shards), strict=True
            ):
                self._compare(shard, found)

    def chunks(self, size: int) -> list[Chunk]:
        """Cuts the shards into chunks of at most so many records."""
        return [
            Chunk(shard, start, min(size, shard.records - start))
            for shard in self.shards
            for start in range(0, shard.records, size)
        ]

    def read(self, chunks: Sequence[Chunk]) -> Examples:
        """Reads the records of some chunks, in their order; :meth:`check` must have come before."""
        length = record_length(self.image_shape)
        room = memoryview(bytearray(length * sum(chunk.records for chunk in chunks)))
        filled = 0
        for chunk in chunks:
            stop = filled + chunk.records * length
            with self._open(chunk.shard) as file:
                file.seek(chunk.start * length)
                file.readinto(room[filled:stop])
            filled = stop
        return self._examples(room)

    def _read(self, size: int) -> Iterator[Examples]:
        length = record_length(self.image_shape)
        left = self.records
        room, filled = memoryview(bytearray(min(size, left) * length)), 0
        for shard in self.shards:
            digest, unread = hashlib.sha256(), shard.bytes
            with self._open(shard) as file:
                while unread:
                    part = room[filled : filled + unread]
                    file.readinto(part)
                    digest.update(part)
                    filled, unread = filled + len(part), unread - len(part)
                    if not unread:
                        self._compare(shard, digest.hexdigest())
                    if filled == len(room):
                        yield self._examples(room)
                        left -= filled // length
                        room, filled = memoryview(bytearray(min(size, left) * length)), 0

    def _examples(self, data: memoryview) -> Examples:
        try:
            images, labels = decode(data, self.image_shape)
        except ValueError as error:
            raise StepError(f"{self.directory}: {error}; run ingest again") from None
        if len(labels) and labels.max() >= self.classes:
            raise StepError(
                f"{self.directory}: a record has the label {labels.max()}, {Dataset.FILE} names "
                f"{self.classes} classes; run ingest again"
            )
        return Examples(np.ascontiguousarray(images), labels.astype(np.int32))

    def _check_sizes(self) -> None:
        length = record_length(self.image_shape)
        for shard in self.shards:
            path = self.directory / shard.file
            if shard.bytes != shard.records * length:
                raise StepError(
                    f"{path}: {shard.records} records in {shard.bytes} bytes, expected {length} "
                    "bytes each; run ingest of this version"
                )
            with self._open(shard) as file:
                found = file.seek(0, 2)
            if found != shard.bytes:
                raise StepError(
                    f"{path}: {found} bytes, {Dataset.FILE} says {shard.bytes}; run ingest again"
                )

    def _open(self, shard: Shard) -> BufferedReader:
        path = self.directory / shard.file
        try:
            return path.open("rb")
        except FileNotFoundError:
            raise StepError(f"{path}: not found; run ingest again") from None

    def _sha256(self, shard: Shard) -> str:
        with self._open(shard) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _compare(self, shard: Shard, found: str) -> None:
        if found != shard.sha256:
            raise StepError(
                f"{self.directory / shard.file}: damaged or of another dataset, its sha256 is "
                f"{found}, {Dataset.FILE} says {shard.sha256}; run ingest again"
            )


def batch_limit(image_shape: ImageShape, most: int) -> int:
    """Returns how many examples to work on at once: fewer than ``most`` where they are large."""
    return max(1, min(most, PIXELS_AT_ONCE // prod(image_shape)))


def prefetch(items: Iterator[Item]) -> Iterator[Item]:
    """Yields items, the next made by a thread while the last is in use."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item
