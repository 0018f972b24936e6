"""Parquet files as a source, on disk or on ``gs://``: row groups are read in the workers."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from components.ingest.columns import COLUMNS, check_schema, decode
from components.ingest.selection import DATE, days_until, is_pattern, select
from components.ingest.source import BY_HASH, Range, Records, Segment, cut, number
from components.shared.errors import StepError
from components.shared.manifests import SPLITS
from components.shared.records import ImageShape

ENDING = ".parquet"
BATCH = 4_096  # rows decoded at a time
# Data sets name the files of a split after it: test-00000-of-00001.parquet
_OF_SPLIT = re.compile(rf"({'|'.join(SPLITS)})(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file whose schema was checked."""

    path: str
    groups: tuple[int, ...]  # rows of each row group
    footer: str  # sha256 of its metadata: schema, sizes, places and bounds of every column

    @property
    def rows(self) -> int:
        """How many rows the file has."""
        return sum(self.groups)

    @property
    def split(self) -> str | None:
        """The split that the file's name says, if it says one."""
        match = _OF_SPLIT.match(self.path.rpartition("/")[2])
        return match[1].lower() if match else None


@dataclass(frozen=True)
class ParquetSource:
    """Parquet files with the columns ``image`` and ``label``.

    Where all files are named after splits, train and test among them, those are the splits.
    """

    filesystem: fs.FileSystem
    files: tuple[ParquetFile, ...]
    validation_size: int
    image_shape: ImageShape = (28, 28)
    class_names: tuple[str, ...] = tuple("0123456789")

    @property
    def has_splits(self) -> bool:
        """Whether the files say which split they belong to."""
        names = {file.split for file in self.files}
        return None not in names and {"train", "test"} <= names

    @property
    def splits_from(self) -> str:
        """See :class:`~components.ingest.source.Source`."""
        if not self.has_splits:
            return BY_HASH
        if any(file.split == "validation" for file in self.files):
            return "train, validation and test are those that the files are named after"
        return (
            "train and test are those that the files are named after, validation the first "
            f"{self.validation_size:,} records of train"
        )

    @property
    def fingerprint(self) -> str:
        """sha256 over the files' names and footers."""
        lines = [f"{file.footer}  {file.path.rpartition('/')[2]}" for file in self.files]
        return sha256("\n".join(lines).encode()).hexdigest()

    def ranges(self, shard_size: int) -> list[Range]:
        """See :class:`~components.ingest.source.Source`."""
        segments = self._official() if self.has_splits else self._whole()
        return number(piece for whole in segments for piece in self._cut(whole, shard_size))

    def read(self, part: Range) -> Records:
        """See :class:`~components.ingest.source.Source`."""
        path = self.files[part.file].path
        try:
            with pq.ParquetFile(path, filesystem=self.filesystem) as file:
                decoded = [
                    decode(table, self.image_shape)
                    for table in _slices(file, part.start, part.stop)
                ]
        except (pa.ArrowException, OSError) as error:
            raise StepError(f"{path}: {_first_line(error)}; expected whole Parquet") from None
        found = sum(len(records.images) + len(records.unreadable) for records in decoded)
        if found != part.stop - part.start:
            raise StepError(f"{path}: {found} rows, expected {part.stop - part.start}")
        return _join(decoded)

    def where(self, part: Range, position: int) -> str:
        """See :class:`~components.ingest.source.Source`."""
        return f"{self.files[part.file].path}, record {part.start + position}"

    def _whole(self) -> Iterator[Segment]:
        for index, file in enumerate(self.files):
            yield Segment(None, index, 0, file.rows)

    def _official(self) -> Iterator[Segment]:
        """The splits as named; validation, where no file has it, off the start of train."""
        named = any(file.split == "validation" for file in self.files)
        left = 0 if named else self.validation_size
        total = sum(file.rows for file in self.files if file.split == "train")
        if left >= total:
            raise StepError(
                f"train{ENDING}: {total} records, expected more than the {left} "
                "of --validation-size"
            )
        for index, file in enumerate(self.files):
            taken = min(left, file.rows) if file.split == "train" else 0
            left -= taken
            yield Segment("validation", index, 0, taken)
            yield Segment(file.split, index, taken, file.rows)

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


def is_parquet(source: str, filesystem: fs.FileSystem, path: str) -> bool:
    """Whether an address names Parquet files, or a directory that holds some."""
    if source.endswith(ENDING) or is_pattern(source):
        return True
    selector = fs.FileSelector(path, recursive=True, allow_not_found=True)
    if filesystem.get_file_info(path).type != fs.FileType.Directory:
        return False
    return any(info.path.endswith(ENDING) for info in filesystem.get_file_info(selector))


def open_parquet(
    source: str, filesystem: fs.FileSystem, path: str, validation_size: int, span: int, until: str
) -> ParquetSource:
    """Opens the Parquet files that an address names, and checks their schemas.

    Args:
        source: The address as given: a file, a directory, a glob, or a pattern with ``{date}``.
        filesystem: Where it lies.
        path: The address there.
        validation_size: Records taken off the start of train, where there is a split train.
        span: Days to read of a pattern with ``{date}``, 0 for all.
        until: The last of them.

    Raises:
        StepError: There is no such file, or one is not readable.
    """
    days = days_until(span, until) if DATE in path else None
    pattern = path
    if not is_pattern(path) and filesystem.get_file_info(path).type == fs.FileType.Directory:
        pattern = f"{path}/**/*{ENDING}"
    found = select(filesystem, pattern, days) if is_pattern(pattern) else [path]
    if not found:
        within = f" from {days[0]} to {days[1]}" if days else ""
        raise StepError(f"{source}: no files{within}, expected Parquet files")
    with ThreadPoolExecutor() as threads:  # a request or two a file, where they are in a bucket
        files = tuple(threads.map(lambda name: _open_file(filesystem, name), found))
    if not any(file.rows for file in files):
        raise StepError(f"{source}: no records in {len(files)} files, expected some")
    return ParquetSource(filesystem, files, validation_size)


def _open_file(filesystem: fs.FileSystem, path: str) -> ParquetFile:
    try:
        with pq.ParquetFile(path, filesystem=filesystem) as file:
            schema, metadata = file.schema_arrow, file.metadata
            groups = tuple(metadata.row_group(i).num_rows for i in range(file.num_row_groups))
    except FileNotFoundError:
        raise StepError(f"{path}: not found, expected a Parquet file") from None
    except (pa.ArrowException, OSError) as error:
        raise StepError(f"{path}: {_first_line(error)}; expected a Parquet file") from None
    check_schema(schema, path)
    footer = pa.BufferOutputStream()
    metadata.write_metadata_file(footer)
    return ParquetFile(path, groups, sha256(footer.getvalue()).hexdigest())


def _slices(file: pq.ParquetFile, start: int, stop: int) -> Iterator[pa.Table]:
    """Rows start … stop - 1, a few at a time, from the row groups that hold them."""
    begin = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if begin < stop and begin + rows > start:
            at = begin
            for batch in file.iter_batches(BATCH, row_groups=[group], columns=list(COLUMNS)):
                low, high = max(start, at), min(stop, at + len(batch))
                if low < high:
                    yield pa.Table.from_batches([batch.slice(low - at, high - low)])
                at += len(batch)
        begin += rows


def _join(decoded: list[Records]) -> Records:
    """Joins the records of consecutive slices."""
    positions, unreadable, begin = [], [], 0
    for records in decoded:
        positions.append(records.positions + begin)
        unreadable += [replace(r, position=r.position + begin) for r in records.unreadable]
        begin += len(records.images) + len(records.unreadable)
    return Records(
        np.concatenate([records.images for records in decoded]),
        np.concatenate([records.labels for records in decoded]),
        np.concatenate(positions),
        unreadable,
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
