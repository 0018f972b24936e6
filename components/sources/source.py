"""Where images come from: what every source can do, and what is read from one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from components.shared.errors import StepError
from components.shared.records import MAX_CLASSES, MAX_SIDE, MIN_CLASSES, Images, ImageShape


@dataclass(frozen=True)
class Range:
    """Records start … stop - 1 of one file of a source: what a worker reads in one go."""

    index: int  # among all ranges of the source
    split: str | None  # None: each record goes to the split that its content says
    shard: int  # among the ranges of this split
    shards: int
    file: int  # of the source
    start: int
    stop: int

    def shard_file(self, split: str) -> str:
        """The shard with this range's records of a split, relative to the dataset's directory."""
        return f"{split}/examples-{self.shard:05d}-of-{self.shards:05d}.tfrecord"

    @property
    def rejected_file(self) -> str:
        """The file with this range's unusable records, relative to the dataset's directory."""
        return f"rejected/{self.split or 'all'}-{self.shard:05d}-of-{self.shards:05d}.jsonl"


# What splits_from says where a source has no splits.
BY_HASH = "a hash of each image, by the shares of --validation-share and --test-share"

WRONG_SIZE = "wrong size: "  # what the reason of a record with such an image starts with


class UnreadableError(Exception):
    """An image cannot be used; the message says why."""


@dataclass(frozen=True)
class Unusable:
    """A record that does not make an example."""

    position: int  # in the range, from 0
    reason: str
    image: bytes
    label: int | None


class Records(NamedTuple):
    """The records of a range."""

    images: Images  # uint8 [n, height, width]
    labels: npt.NDArray[np.int64]  # [n], unchecked
    positions: npt.NDArray[np.int64]  # [n], in the range, from 0
    unreadable: list[Unusable]  # those without an image or a label, in order


class Source(Protocol):
    """A source; it is sent to every worker, so it holds no data."""

    @property
    def image_shape(self) -> ImageShape:
        """Height and width of all its images."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes by name; a label is a place among them, from 0."""

    @property
    def splits_from(self) -> str:
        """Says in one sentence what decides which split a record is in."""

    @property
    def fingerprint(self) -> str:
        """Identifies what is read: a sha256 sum."""

    def ranges(self, shard_size: int) -> list[Range]:
        """Cuts the source into ranges of at most ``shard_size`` records, alike on every runner."""

    def read(self, part: Range) -> Records:
        """Reads a range's records and nothing else.

        Raises:
            StepError: The file is damaged there.
        """

    def origin(self, part: Range) -> str | list[str]:
        """Names the file that a range's records are in; or each one's own, where they are files."""


def where(origin: str | list[str], part: Range, position: int) -> str:
    """Names a record as the user knows it: its file, and its number there, from 0.

    Args:
        origin: Of its range, as the source tells it.
        part: The range.
        position: Of the record in the range, from 0.
    """
    if isinstance(origin, str):
        return f"{origin}, record {part.start + position}"
    return origin[position]


def check_bounds(name: str, source: Source) -> None:
    """Checks that a source's images and classes are such as the steps can work with.

    Args:
        name: What the user calls the source.
        source: The source.

    Raises:
        StepError: They are too large, too many or too few, or classes cannot be told apart.
    """
    if not all(1 <= side <= MAX_SIDE for side in source.image_shape):
        found = " x ".join(map(str, source.image_shape))
        raise StepError(
            f"{name}: images of {found} pixels, expected 1 x 1 to {MAX_SIDE} x {MAX_SIDE}; "
            "--resize converts"
        )
    names = source.class_names
    if not MIN_CLASSES <= len(names) <= MAX_CLASSES:
        raise StepError(f"{name}: {len(names)} classes, expected {MIN_CLASSES} to {MAX_CLASSES}")
    if repeated := [name for name in names if names.count(name) > 1 or not name.strip()]:
        raise StepError(
            f"{name}: {len(repeated)} classes named {repeated[0]!r}, expected a name of its own "
            "for each"
        )


class Segment(NamedTuple):
    """Records start … stop - 1 of a file that belong to one split, or to the split they say."""

    split: str | None
    file: int
    start: int
    stop: int


def number(segments: Iterable[Segment]) -> list[Range]:
    """Makes ranges of segments: each gets its number within its split."""
    segments = [segment for segment in segments if segment.start < segment.stop]
    shards: dict[str | None, int] = {}
    for segment in segments:
        shards[segment.split] = shards.get(segment.split, 0) + 1
    seen = dict.fromkeys(shards, 0)
    ranges = []
    for index, (split, file, start, stop) in enumerate(segments):
        ranges.append(Range(index, split, seen[split], shards[split], file, start, stop))
        seen[split] += 1
    return ranges


def cut(segment: Segment, shard_size: int) -> list[Segment]:
    """Cuts a segment into pieces of nearly equal size, at most ``shard_size`` records each."""
    split, file, start, stop = segment
    pieces = -(-(stop - start) // shard_size)
    bounds = [start + (stop - start) * i // pieces for i in range(pieces + 1)] if pieces else []
    return [Segment(split, file, low, high) for low, high in pairwise(bounds)]


def ranges_of(segments: Iterable[Segment], shard_size: int) -> list[Range]:
    """Makes ranges of segments, at most ``shard_size`` records each."""
    return number(piece for segment in segments for piece in cut(segment, shard_size))


def join(parts: Sequence[Records]) -> Records:
    """Joins the records of consecutive parts of a range."""
    positions, unreadable, begin = [], [], 0
    for records in parts:
        positions.append(records.positions + begin)
        unreadable += [replace(r, position=r.position + begin) for r in records.unreadable]
        begin += len(records.images) + len(records.unreadable)
    return Records(
        np.concatenate([records.images for records in parts]),
        np.concatenate([records.labels for records in parts]),
        np.concatenate(positions),
        unreadable,
    )
