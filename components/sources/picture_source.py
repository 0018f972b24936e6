"""Pictures in a folder a class as a source: on disk, in a bucket, or in a zip or tar."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from components.shared.errors import StepError, explain
from components.shared.records import ImageShape
from components.sources import archives, class_names, content, kinds, pictures, unpacking
from components.sources.archives import Member
from components.sources.asked import Asked
from components.sources.class_names import Classes
from components.sources.filesystem import is_bucket
from components.sources.locate import File
from components.sources.picture_index import Index, Row, order, split_of_picture, write
from components.sources.pictures import Conversion
from components.sources.source import Range, Records, UnreadableError, join, ranges_of
from components.sources.split_names import Piece, Splits, assign, listed, split_of

AT_ONCE = 512  # pictures read before they are decoded
REQUESTS = 16  # at a time, to a bucket
TRIED = 100  # pictures, for one that tells the size of all


@dataclass(frozen=True)
class PictureSource:
    """Pictures, in the order of an index."""

    index: Index
    starts: tuple[int, ...]  # the first row of each piece
    splits: Splits
    classes: Classes
    conversion: Conversion
    image_shape: ImageShape

    @property
    def class_names(self) -> tuple[str, ...]:
        """See :class:`~components.sources.source.Source`."""
        return self.classes.names

    @property
    def splits_from(self) -> str:
        """See :class:`~components.sources.source.Source`."""
        return f"{self.splits.told}; pictures are in the order of a hash of their names"

    @property
    def fingerprint(self) -> str:
        """sha256 over the pictures' names, sizes and, in a zip, checksums."""
        return self.index.fingerprint

    def ranges(self, shard_size: int) -> list[Range]:
        """See :class:`~components.sources.source.Source`."""
        return ranges_of(self.splits.segments, shard_size)

    def read(self, part: Range) -> Records:
        """See :class:`~components.sources.source.Source`."""
        start = self.starts[part.file]
        begins = range(part.start, part.stop, AT_ONCE)
        return join([self._read(start + at, start + min(at + AT_ONCE, part.stop)) for at in begins])

    def _read(self, start: int, stop: int) -> Records:
        rows = list(self.index.rows(start, stop))
        labels = np.array([row.label for row in rows], np.int64)
        data = contents([row.member for row in rows])
        labelled = [""] * len(rows)
        try:
            return pictures.decode(data, labels, labelled, self.image_shape, self.conversion)
        except OSError as error:
            raise StepError(f"{_name(rows[0])}, or one after it: {explain(error)}") from None

    def origin(self, part: Range) -> list[str]:
        """See :class:`~components.sources.source.Source`."""
        first = self.starts[part.file]
        return [_name(row) for row in self.index.rows(first + part.start, first + part.stop)]


def open_pictures(files: Sequence[File], _: Sequence[File], asked: Asked) -> PictureSource:
    """Opens pictures that lie open.

    Args:
        files: The pictures.
        _: Other files there.
        asked: What is asked of the source.

    Raises:
        StepError: They are not in a folder a class, or none can be read.
    """
    return _open([Member(file, -1, file.below, file.size) for file in files], asked)


def open_archives(files: Sequence[File], _: Sequence[File], asked: Asked) -> PictureSource:
    """Opens the pictures in zips or tars; a packed tar is unpacked for the workers.

    Args:
        files: The archives.
        _: Other files there.
        asked: What is asked of the source.

    Raises:
        StepError: One is damaged or holds something else, its pictures are not in a folder a
            class, or none can be read.
    """
    found: list[Member] = []
    for place, file in enumerate(files):
        kind = content.kind_of(unpacking.head(file))
        there = unpacking.for_workers(file, asked.unpacked, f"archive-{place}")
        found += archives.members(
            there, place, kind, archives.prefix_of(file) if len(files) > 1 else ""
        )
    of_kind = kinds.by_kind(found, lambda member: content.kind_of(member.head()))
    kinds.tell_left_out(of_kind.pop(content.OTHER, []))
    inside = of_kind.pop(content.PICTURE, [])
    if of_kind:
        kind, others = next(iter(of_kind.items()))
        raise StepError(
            f"{asked.config.source}: holds {kind} ({others[0].below}), expected pictures in a "
            "folder a class; unpack it first"
        )
    if not inside:
        raise StepError(f"{asked.config.source}: no pictures in it")
    return _open(inside, asked)


def contents(members: Sequence[Member]) -> Iterator[bytes | UnreadableError]:
    """Reads files one after another, several at a time where each is a request to a bucket."""
    for _, group in groupby(members, key=lambda member: member.place):
        some = list(group)
        if some[0].place < 0:
            threads = REQUESTS if is_bucket(some[0].archive.filesystem) else 1
            with ThreadPoolExecutor(threads) as pool:
                yield from pool.map(_alone, some) if threads > 1 else map(_alone, some)
            continue
        archive = some[0].archive
        with archive.filesystem.open_input_file(archive.path) as opened:
            for member in some:
                try:
                    yield archives.read(opened, member)
                except UnreadableError as error:
                    yield error


def _alone(member: Member) -> bytes | UnreadableError:
    if member.size > archives.LARGEST:
        return UnreadableError(f"{member.size:,} bytes, expected {archives.LARGEST:,} at most")
    with member.archive.filesystem.open_input_file(member.archive.path) as file:
        return file.read()


def _open(members: list[Member], asked: Asked) -> PictureSource:
    config = asked.config
    if asked.labelled:
        _check_folders(members, config.source)
        classes = class_names.of_folders(_folder(member) for member in members)
        if config.class_names:
            classes = _asked_for(config.class_names, classes, config.source)
        places = {name: place for place, name in enumerate(classes.names)}
    else:
        classes = class_names.choose(config.class_names, config.source)
    members.sort(key=lambda member: order(member.below))
    labels = [places[_folder(member)] if asked.labelled else -1 for member in members]
    index = write(members, labels, asked.unpacked, "pictures")
    pieces, starts, row = [], [], 0
    for split, group in groupby(members, key=lambda member: split_of_picture(member.below)):
        count = len(list(group))
        pieces.append(Piece(f"{config.source}, {split or 'pictures of no split'}", split, count))
        starts.append(row)
        row += count
    splits = assign(pieces, asked)
    shape = _shape(members[:TRIED], asked)
    return PictureSource(index, tuple(starts), splits, classes, asked.conversion, shape)


def _folder(member: Member) -> str:
    return member.below.rpartition("/")[0].rpartition("/")[2]


def _check_folders(members: Sequence[Member], source: str) -> None:
    """Checks that every picture is in a folder that may be one of a class."""
    depths: dict[int, str] = {}
    for member in members:
        depths.setdefault(member.below.count("/"), member.below)
    if 0 in depths:
        raise StepError(f"{source}: {depths[0]} is in no folder, expected a folder a class")
    if len(depths) > 1:
        shallow, deep = depths[min(depths)], depths[max(depths)]
        raise StepError(
            f"{source}: {shallow} and {deep} are not equally deep, expected a folder a class and "
            "all pictures in these"
        )
    folders = {_folder(member) for member in members}
    if all(split_of(folder) for folder in folders):
        raise StepError(
            f"{source}: folders {listed(sorted(folders))} are named after splits, expected a "
            "folder a class in each"
        )


def _asked_for(asked: str, found: Classes, source: str) -> Classes:
    """The classes in the order asked for: these are the folders' own names."""
    given = class_names.choose(asked, source)
    if unknown := sorted(set(found.names) - set(given.names)):
        raise StepError(f"--class-names: folders {listed(unknown)} of {source} are not among them")
    return given


def _shape(members: Sequence[Member], asked: Asked) -> ImageShape:
    """The shape of the first picture that can be read.

    Raises:
        StepError: None of these can.
    """
    if asked.conversion.size:
        return asked.conversion.size
    reasons = []
    for member, read in zip(members, contents(members), strict=True):
        try:
            if isinstance(read, UnreadableError):
                raise read
            height, width = asked.conversion.of_bytes(read, None).shape
            return height, width
        except UnreadableError as error:
            reasons.append(f"{_name(Row(member, 0))}: {error}")
    raise StepError(reasons[0])


def _name(row: Row) -> str:
    member = row.member
    if member.place < 0:
        return member.archive.name
    return f"{member.archive.name}, {member.below}"
