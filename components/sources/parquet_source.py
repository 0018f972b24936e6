"""Parquet files as a source: row groups are read in the workers, where the files lie."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from math import prod

import pyarrow as pa
import pyarrow.parquet as pq

from components.shared.errors import StepError, explain
from components.shared.records import ImageShape
from components.sources import class_names
from components.sources.asked import Asked
from components.sources.class_names import Classes
from components.sources.columns import Layout, check_schema, decode, shape_of
from components.sources.locate import File
from components.sources.source import Range, Records, Segment, cut, join, number
from components.sources.split_names import Piece, Splits, assign, split_of
from components.sources.unpacking import for_workers

BATCH, BATCH_PIXELS = 4_096, 4 << 20  # rows decoded at a time, and their pixels
TRIED = 100  # rows, for one that tells the size of all


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file whose schema was checked."""

    file: File
    groups: tuple[int, ...]  # rows of each row group
    footer: str  # sha256 of its metadata: schema, sizes, places and bounds of every column
    classes: Classes | None  # that its metadata names

    @property
    def rows(self) -> int:
        """How many rows the file has."""
        return sum(self.groups)


@dataclass(frozen=True)
class ParquetSource:
    """Parquet files with a column of images and one of labels."""

    files: tuple[ParquetFile, ...]
    splits: Splits
    layout: Layout
    image_shape: ImageShape

    @property
    def class_names(self) -> tuple[str, ...]:
        """See :class:`~components.sources.source.Source`."""
        return self.layout.classes.names

    @property
    def splits_from(self) -> str:
        """See :class:`~components.sources.source.Source`."""
        return self.splits.told

    @property
    def fingerprint(self) -> str:
        """sha256 over the files' names and footers."""
        lines = [f"{one.footer}  {one.file.below.rpartition('/')[2]}" for one in self.files]
        return sha256("\n".join(lines).encode()).hexdigest()

    def ranges(self, shard_size: int) -> list[Range]:
        """See :class:`~components.sources.source.Source`."""
        segments = self.splits.segments
        return number(piece for whole in segments for piece in self._cut(whole, shard_size))

    def read(self, part: Range) -> Records:
        """See :class:`~components.sources.source.Source`."""
        found = self.files[part.file].file
        try:
            with _open(found) as file:
                rows = max(1, min(BATCH, BATCH_PIXELS // prod(self.image_shape)))
                slices = _slices(file, part.start, part.stop, self.layout.columns, rows)
                decoded = [decode(table, self.layout, self.image_shape) for table in slices]
        except (pa.ArrowException, OSError) as error:
            raise StepError(f"{found.name}: {explain(error)}; expected whole Parquet") from None
        records = sum(len(records.images) + len(records.unreadable) for records in decoded)
        if records != part.stop - part.start:
            raise StepError(f"{found.name}: {records} rows, expected {part.stop - part.start}")
        return join(decoded)

    def origin(self, part: Range) -> str:
        """See :class:`~components.sources.source.Source`."""
        return self.files[part.file].file.name

    def _cut(self, segment: Segment, shard_size: int) -> Iterator[Segment]:
        """Cuts where row groups meet, as far as that keeps to the size."""
        split, file, start, stop = segment
        pending = Segment(split, file, start, start)
        end = 0
        for rows in self.files[file].groups:
            begin, end = end, end + rows
            low, high = max(begin, start), min(end, stop)
            if low >= high:
                continue
            if high - pending.start > shard_size:
                yield from cut(pending, shard_size)
                pending = Segment(split, file, low, low)
            pending = pending._replace(stop=high)
        yield from cut(pending, shard_size)


def open_parquet(files: Sequence[File], _: Sequence[File], asked: Asked) -> ParquetSource:
    """Opens Parquet files and checks their schemas.

    Args:
        files: The files.
        _: Other files there.
        asked: What is asked of the source.

    Raises:
        StepError: One is not readable, or has other columns.
    """
    config = asked.config
    files = [for_workers(file, asked.unpacked, f"{n}.parquet") for n, file in enumerate(files)]
    label = config.label_column if asked.labelled else ""
    layout = Layout(config.image_column, label, Classes(()), asked.conversion)
    texts = bool(config.class_names)
    with ThreadPoolExecutor() as threads:  # a request or two a file, where they are in a bucket
        found = list(threads.map(lambda file: _checked(file, layout, texts), files))
    own = {one.classes for one in found} - {None} or {None}
    if len(own) > 1:
        raise StepError(
            f"{files[0].name} and the files beside it name other classes each; name one of them"
        )
    classes = class_names.choose(config.class_names, config.source, own.pop())
    layout = Layout(layout.image, layout.label, classes, layout.conversion)
    pieces = [Piece(one.file.name, split_of(one.file.below), one.rows) for one in found]
    splits = assign(pieces, asked)
    return ParquetSource(tuple(found), splits, layout, _shape(found, layout))


def _open(file: File) -> pq.ParquetFile:
    return pq.ParquetFile(file.path, filesystem=file.filesystem, page_checksum_verification=True)


def _checked(found: File, layout: Layout, texts: bool) -> ParquetFile:
    try:
        with _open(found) as file:
            schema, metadata = file.schema_arrow, file.metadata
            groups = tuple(metadata.row_group(i).num_rows for i in range(file.num_row_groups))
    except (pa.ArrowException, OSError) as error:
        raise StepError(f"{found.name}: {explain(error)}; expected a Parquet file") from None
    check_schema(schema, found.name, layout, texts)
    footer = pa.BufferOutputStream()
    metadata.write_metadata_file(footer)
    own = class_names.of_huggingface(schema.metadata, layout.label)
    return ParquetFile(found, groups, sha256(footer.getvalue()).hexdigest(), own)


def _shape(files: Sequence[ParquetFile], layout: Layout) -> ImageShape:
    """The shape of the first image that can be read.

    Raises:
        StepError: None of those at the start of the first file can.
    """
    if layout.conversion.size:
        return layout.conversion.size
    first = next(one for one in files if one.rows)
    reason: ImageShape | str = "no records"
    try:
        with _open(first.file) as file:
            for batch in file.iter_batches(TRIED, columns=[layout.image]):
                reason = shape_of(pa.Table.from_batches([batch]), layout)
                break
    except (pa.ArrowException, OSError) as error:
        raise StepError(f"{first.file.name}: {explain(error)}; expected whole Parquet") from None
    if isinstance(reason, str):
        raise StepError(f"{first.file.name}, record 0: {reason}")
    return reason


def _slices(
    file: pq.ParquetFile, start: int, stop: int, columns: list[str], batch_limit: int
) -> Iterator[pa.Table]:
    """Rows start … stop - 1, a few at a time, from the row groups that hold them."""
    begin = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if begin < stop and begin + rows > start:
            at = begin
            for batch in file.iter_batches(batch_limit, row_groups=[group], columns=columns):
                low, high = max(start, at), min(stop, at + len(batch))
                if low < high:
                    yield pa.Table.from_batches([batch.slice(low - at, high - low)])
                at += len(batch)
        begin += rows
