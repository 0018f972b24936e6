"""Where digits come from: what every source can do, and what is read from one."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from components.shared.records import Images


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


WRONG_SIZE = "wrong size: "  # what the reason of a record with such an image starts with


@dataclass(frozen=True)
class Unusable:
    """A record that does not make an example."""

    position: int  # in the range, from 0
    reason: str
    image: bytes
    label: int | None


class Records(NamedTuple):
    """The records of a range."""

    images: Images  # uint8 [n, 28, 28]
    labels: npt.NDArray[np.int64]  # [n], unchecked
    positions: npt.NDArray[np.int64]  # [n], in the range, from 0
    unreadable: list[Unusable]  # those without an image or a label


class Source(Protocol):
    """A source; it is sent to every worker, so it holds no data."""

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

    def where(self, part: Range, position: int) -> str:
        """Names a record as the user knows it: its file and its number there, from 0."""


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
