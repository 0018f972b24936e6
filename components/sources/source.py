"""Where images come from: one source of readers, each of which knows nothing but its format."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pyarrow import fs

from components.config import Ingest, Reading
from components.shared.errors import StepError, explain, is_about_a_file
from components.shared.records import MAX_CLASSES, MAX_SIDE, MIN_CLASSES, ImageShape
from components.sources import images
from components.sources.images import Conversion, Records, StoredImage
from components.sources.labels import Classes, StoredLabel


@dataclass(frozen=True)
class ReadOptions:
    """What is asked of a source, whatever its format."""

    config: Reading
    unpacked: fs.FileSystem  # where files are unpacked to, for every worker to read
    labelled: bool = True  # whether records need labels; those without have the label -1

    @property
    def validation_size(self) -> int | None:
        """Records to split off for validation; None where splits are not asked for at all."""
        return self.config.validation_size if isinstance(self.config, Ingest) else None

    @property
    def conversion(self) -> Conversion:
        """What is done to every image."""
        height, _, width = self.config.resize.partition("x")
        size = (int(height), int(width)) if height else None
        height, _, width = self.config.shape.partition("x")
        stored = (int(height), int(width)) if height else None
        return Conversion(self.config.grey, size, self.config.transpose, stored)


class Raw(NamedTuple):
    """Records as a file has them."""

    # [n, pixels], [n, height, width] or [n, height, width, channels] of any numbers; or one by one
    images: npt.NDArray | Iterable[StoredImage]
    # [n, …] of any numbers; or one by one; or None, where none are asked for
    labels: npt.NDArray | Sequence[StoredLabel] | None


@dataclass(frozen=True, kw_only=True)
class Reader(ABC):
    """One file, or pair of files, of one format; it is sent to every worker, so it holds no data.

    Args:
        location: What the user calls it, for messages.
        split: The split that it is, or a part of; None: it does not say.
        records: How many it holds.
        digest: Identifies its content.
        shape: Of its images as they stand there, where all have one that is known unread.
        cuts: The records before which a range begins without reading others, such as the first
            ones of row groups; none where every record is as good.
    """

    location: str
    split: str | None
    records: int
    digest: str = ""
    shape: ImageShape | None = None
    cuts: tuple[int, ...] = ()

    @abstractmethod
    def read(self, start: int, stop: int) -> Iterator[Raw]:
        """Reads records start … stop - 1 and as little else as can be, some at a time, in order.

        Raises:
            StepError: The file is damaged there.
            OSError: It cannot be read.
        """

    def locations(self, start: int, stop: int) -> str | list[str]:
        """The file that records are in; or each one's own, where they are files."""
        return self.location


class Opened(NamedTuple):
    """Files of one format, opened: what a source is made of."""

    readers: Sequence[Reader]
    classes: Classes
    conversion: Conversion
    fingerprint: str = ""  # where it is not that of the readers' digests
    order: str = ""  # the order of the records, where it is not that of the files


@dataclass(frozen=True)
class Range:
    """Records start … stop - 1 of one file of a source: what a worker reads in one go."""

    index: int  # among all ranges of the source
    split: str | None  # None: each record goes to the split that its content says
    shard: int  # among the ranges of this split
    shards: int
    file: int  # place of its reader among the source's
    start: int
    stop: int

    def shard_file(self, split: str) -> str:
        """The shard with this range's records of a split, relative to the dataset's directory."""
        return f"{split}/examples-{self.shard:05d}-of-{self.shards:05d}.tfrecord"

    def places_file(self, split: str) -> str:
        """The file that says where such a shard's records were read, likewise."""
        return f".places/{split}-{self.shard:05d}-of-{self.shards:05d}.parquet"

    @property
    def rejected_file(self) -> str:
        """The file with this range's unusable records, relative to the dataset's directory."""
        return f"rejected/{self.split or 'all'}-{self.shard:05d}-of-{self.shards:05d}.jsonl"


class Segment(NamedTuple):
    """Records start … stop - 1 of a reader that belong to one split, or to the split they say."""

    split: str | None
    file: int  # place of the reader among the source's
    start: int
    stop: int


@dataclass(frozen=True)
class Source:
    """A source; it is sent to every worker, so it holds no data."""

    readers: tuple[Reader, ...]
    segments: tuple[Segment, ...]
    splits_from: str  # says in one sentence what decides which split a record is in
    classes: Classes
    conversion: Conversion
    image_shape: ImageShape  # height and width of all its images
    fingerprint: str  # identifies what is read: a sha256 sum

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes by name; a label is a place among them, from 0."""
        return self.classes.names

    def ranges(self, shard_size: int) -> list[Range]:
        """Cuts the source into ranges of at most ``shard_size`` records, alike on every runner."""
        return _numbered(
            piece
            for segment in self.segments
            for piece in _cut(segment, shard_size, self.readers[segment.file].cuts)
        )

    def read(self, part: Range) -> Records:
        """Reads a range's records and nothing else.

        Raises:
            StepError: The file is damaged there, cannot be read, or changed.
        """
        reader = self.readers[part.file]
        try:
            read = images.join([self._decode(raw) for raw in reader.read(part.start, part.stop)])
        except OSError as error:
            raise _about(reader.location, error) from None
        count = len(read.images) + len(read.unreadable)
        if count != part.stop - part.start:
            raise StepError(
                f"{reader.location}: {count} records from {part.start} on, expected "
                f"{part.stop - part.start}; it changed while it was read"
            )
        return read

    def location(self, part: Range) -> str | list[str]:
        """Names the file that a range's records are in; or each one's own, where they are files."""
        return self.readers[part.file].locations(part.start, part.stop)

    def _decode(self, raw: Raw) -> Records:
        stored, no_label = raw.images, list[str]()
        if raw.labels is None:
            stored = stored if isinstance(stored, np.ndarray) else list(stored)
            labels = np.full(len(stored), -1, np.int64)
        else:
            labels, no_label = self.classes.places(raw.labels)
        decoded = images.decode(stored, labels, no_label, self.image_shape, self.conversion)
        return self.classes.numbered(decoded)


def record_location(location: str | list[str], part: Range, position: int) -> str:
    """Names a record as the user knows it: its file, and its number there, from 0.

    Args:
        location: Of its range, as the source says it.
        part: The range.
        position: Of the record in the range, from 0.
    """
    if isinstance(location, str):
        return f"{location}, record {part.start + position}"
    return location[position]


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


def _about(location: str, error: OSError) -> StepError:
    return StepError(explain(error) if is_about_a_file(error) else f"{location}: {explain(error)}")


def _numbered(segments: Iterable[Segment]) -> list[Range]:
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


def _cut(segment: Segment, shard_size: int, cuts: Sequence[int]) -> Iterator[Segment]:
    """Cuts a segment into pieces of at most ``shard_size`` records, at the cuts as far as can be.

    What is longer between two cuts comes in pieces of nearly equal size.
    """
    split, file, start, stop = segment
    pending = Segment(split, file, start, start)
    for low, high in pairwise([start, *(cut for cut in cuts if start < cut < stop), stop]):
        if high - pending.start > shard_size:
            yield from _evenly(pending, shard_size)
            pending = Segment(split, file, low, low)
        pending = pending._replace(stop=high)
    yield from _evenly(pending, shard_size)


def _evenly(segment: Segment, shard_size: int) -> list[Segment]:
    split, file, start, stop = segment
    pieces = -(-(stop - start) // shard_size)
    bounds = [start + (stop - start) * i // pieces for i in range(pieces + 1)] if pieces else []
    return [Segment(split, file, low, high) for low, high in pairwise(bounds)]
