"""CSV files with a line an image and a column a pixel, as Kaggle has MNIST."""

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv as arrow_csv

from components.shared.errors import StepError, log_line
from components.shared.records import ImageShape
from components.sources import files, labels
from components.sources.files import File, Offsets
from components.sources.images import WRONG_SIZE, StoredImage, UnreadableError
from components.sources.source import Opened, Raw, Reader, ReadOptions
from components.sources.splits import split_of

CHUNK = 4 << 20  # bytes scanned at a time
LONGEST_LINE = 1 << 20  # bytes: 256 x 256 pixels of three digits each
LONGEST_BLOCK = 64 << 20
# A block's lines and cells: what is parsed at once, since a call costs time for every column.
LINES, CELLS = 1_024, 4 << 20
_BOM = b"\xef\xbb\xbf"
_NUMBER = re.compile(r"\s*-?\d+(\.\d*)?\s*", re.ASCII)
_PLACE = re.compile(r"(\d+)x(\d+)")  # a pixel's row and column, from 1 or 0
_PIXEL = re.compile(r"\s*0*\d{1,3}\s*", re.ASCII)


@dataclass(frozen=True)
class Columns:
    """Which cells of a line are what."""

    count: int
    label: int | None
    pixels: tuple[int, ...]
    shape: ImageShape  # of the image as it stands there


class NoColumnError(Exception):
    """There is no column of labels."""


@dataclass(frozen=True, kw_only=True)
class CsvReader(Reader):
    """A CSV file."""

    offsets: Offsets
    columns: Columns

    def read(self, start: int, stop: int) -> Iterator[Raw]:
        """See :class:`~components.sources.source.Reader`."""
        for low, high, data in self.offsets.read(start, stop):
            whole = self._table(data)
            if whole and len(whole[0]) >= high:
                pixels, numbers = whole
                images = pixels[low:high].reshape(-1, *self.columns.shape)
                yield Raw(images, numbers[low:high] if self.columns.label is not None else None)
            else:
                read = [self._line(line) for line in list(_lines(data))[low:high]]
                texts = [text for _, text in read] if self.columns.label is not None else None
                yield Raw([image for image, _ in read], texts)

    def _table(self, data: bytes) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]] | None:
        """A block's pixels ``[n, pixels]`` and labels ``[n]``, if every cell is as it should be."""
        names = [str(cell) for cell in range(self.columns.count)]
        used = [names[cell] for cell in self.columns.pixels]
        types = dict.fromkeys(used, pa.uint8())
        if self.columns.label is not None:
            types[names[self.columns.label]] = pa.int64()
        block = len(data) + 1
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(data),
                arrow_csv.ReadOptions(use_threads=False, block_size=block, column_names=names),
                arrow_csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
                arrow_csv.ConvertOptions(
                    column_types=types, include_columns=list(types), null_values=[]
                ),
            )
        except pa.ArrowInvalid:
            return None
        pixels = np.empty((len(table), len(used)), np.uint8)
        for place, name in enumerate(used):
            pixels[:, place] = table[name].to_numpy()
        if self.columns.label is None:
            return pixels, np.full(len(table), -1, np.int64)
        return pixels, table[names[self.columns.label]].to_numpy()

    def _line(self, line: str) -> tuple[StoredImage, str | None]:
        """A line's image, or why there is none, and its label."""
        cells = line.split(",")
        if len(cells) != self.columns.count:
            reason = f"{WRONG_SIZE}{len(cells)} cells, expected {self.columns.count}"
            return UnreadableError(reason, line.encode()), None
        label = None if self.columns.label is None else cells[self.columns.label]
        texts = [cells[cell] for cell in self.columns.pixels]
        for text in texts:
            if not _PIXEL.fullmatch(text) or int(text) > 255:
                reason = f"pixel {text[:20]!r}, expected a whole number, 0 to 255"
                return UnreadableError(reason, line.encode()), label
        return np.array([int(text) for text in texts], np.uint8).reshape(self.columns.shape), label


def open_csv(tables: Sequence[File], _: Sequence[File], options: ReadOptions) -> Opened:
    """Opens CSV files, plain or gzip, and finds where their records start.

    Raises:
        StepError: One is not a table of pixels.
    """
    config = options.config
    readers = []
    without = ""
    for number, file in enumerate(tables):
        plain = files.for_workers(file, options.unpacked, f"{number}.csv")
        first = plain.head(LONGEST_LINE)
        try:
            columns, before = columns_of(first, file.name, config.label_column, options.labelled)
        except NoColumnError as error:
            without = f"{file.name}: {error}"
            log_line(f"Left out {without}")
            continue
        offsets = offsets_of(plain, before, columns.count)
        reader = CsvReader(
            location=plain.name,
            split=split_of(plain.relpath),
            records=offsets.records,
            digest=offsets.digest,
            shape=columns.shape,
            offsets=offsets,
            columns=columns,
        )
        readers.append(reader)
    if not readers:
        raise StepError(f"{without}; --label-column names another")
    return Opened(readers, labels.choose(config.class_names, config.source), options.conversion)


def columns_of(first: bytes, name: str, label_column: str, labelled: bool) -> tuple[Columns, int]:
    """Reads the first line of a file.

    Args:
        first: The file's first bytes.
        name: What the user calls it.
        label_column: The label's column, where there is a header; else it is the first one.
        labelled: Whether labels are needed.

    Returns:
        The columns, and how many bytes come before the first record.

    Raises:
        NoColumnError: There is a header without that column.
        StepError: The columns are not the pixels of an image.
    """
    end = first.find(b"\n") + 1
    if not end and len(first) >= LONGEST_LINE:
        raise StepError(f"{name}: no end of a line within {LONGEST_LINE:,} bytes, expected CSV")
    text = first[: end or None].removeprefix(_BOM).decode("utf-8", errors="replace").rstrip("\r\n")
    try:
        cells = next(csv.reader([text]), [])
    except csv.Error as error:
        raise StepError(f"{name}: its first line is no CSV ({error})") from None
    if all(_NUMBER.fullmatch(cell) for cell in cells):
        label = 0 if labelled else None
        pixels = tuple(range(1 if labelled else 0, len(cells)))
        return Columns(len(cells), label, pixels, _square(len(pixels), name)), 0
    names = [cell.strip() for cell in cells]
    label = names.index(label_column) if label_column in names else None
    if labelled and label is None:
        raise NoColumnError(f"columns {', '.join(names)[:60]}, and none is {label_column}")
    pixels = tuple(n for n, cell in enumerate(names) if n != label and cell[-1:].isdigit())
    if not pixels:
        raise StepError(
            f"{name}: columns {', '.join(names[:8])}; expected a column a pixel, whose name ends "
            "with its number"
        )
    others = [cell for n, cell in enumerate(names) if n not in (label, *pixels)]
    if others and labelled:
        log_line(f"{name}: columns {', '.join(others[:8])} are left out")
    return Columns(len(cells), label, pixels, _shape(names, pixels, name)), end


def offsets_of(file: File, before: int, cells: int) -> Offsets:
    """Finds where records start, by the ends of lines; blank lines at the end are left out.

    Args:
        file: A plain CSV file.
        before: Bytes before the first record.
        cells: In a line.

    Raises:
        StepError: A cell is quoted, so that a line's end could be part of it.
    """
    digest = hashlib.sha256()
    every = max(1, min(LINES, CELLS // cells))
    starts, ends, last, size = [before], 0, before, 0
    with file.filesystem.open_input_stream(file.path, compression=None) as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
            _refuse_quotes(file, chunk, size, before)
            found = np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n")) + size + 1
            size += len(chunk)
            found = found[found > before]
            starts += found[(every - 1 - ends) % every :: every].tolist()
            ends += len(found)
            last = int(found[-1]) if len(found) else last
            if size - starts[-1] > LONGEST_BLOCK:
                raise StepError(f"{file.name}: {every} lines of more than {LONGEST_BLOCK:,} bytes")
    blank = _blank_at_end(file, size, before)
    records = ends + (last < size) - blank
    if last < size or starts[-1] != size:
        starts.append(size)
    return Offsets(file, every, tuple(starts), max(records, 0), digest.hexdigest())


def _refuse_quotes(file: File, chunk: bytes, size: int, before: int) -> None:
    place = chunk.find(b'"', max(before - size, 0))
    if place >= 0:
        raise StepError(
            f"{file.name}: a quotation mark at byte {size + place}, expected cells of plain "
            "numbers and names"
        )


def _blank_at_end(file: File, size: int, before: int) -> int:
    """How many lines at the end are blank."""
    begin = max(before, size - LONGEST_LINE)
    with file.filesystem.open_input_file(file.path) as opened:
        tail: bytes = opened.read_at(size - begin, begin)
    text = tail.rstrip(b" \t\r\n")
    lines = tail[len(text) :].split(b"\n")
    blank = len(lines) - 1 + bool(lines[-1])  # the last one may have no end
    return blank if not text else max(blank - 1, 0)


def _lines(data: bytes) -> Iterator[str]:
    """The lines of a block."""
    for line in data.removesuffix(b"\n").split(b"\n"):
        yield line.removeprefix(_BOM).decode("utf-8", errors="replace").strip()


def _shape(names: list[str], pixels: tuple[int, ...], name: str) -> ImageShape:
    """The shape that names of rows and columns say, or a square's."""
    places = [_PLACE.fullmatch(names[pixel]) for pixel in pixels]
    if all(places):
        rows, columns = ({int(place[n]) for place in places if place} for n in (1, 2))
        if len(rows) * len(columns) == len(pixels):
            return len(rows), len(columns)
    return _square(len(pixels), name)


def _square(count: int, name: str) -> ImageShape:
    side = isqrt(count)
    if not count or side * side != count:
        raise StepError(
            f"{name}: {count} pixels a line, expected a square's, or columns named 1x1, 1x2, …"
        )
    return side, side
