"""The lines of a CSV file of pixels: its columns, and where its records start."""

import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

import numpy as np

from components.shared.errors import StepError, log_line
from components.shared.records import ImageShape
from components.sources.blocks import Blocks
from components.sources.locate import File

CHUNK = 4 << 20  # bytes scanned at a time
LONGEST_LINE = 1 << 20  # bytes: 256 x 256 pixels of three digits each
LONGEST_BLOCK = 64 << 20
# A block's lines and cells: what is parsed at once, since a call costs time for every column.
LINES, CELLS = 1_024, 4 << 20
_BOM = b"\xef\xbb\xbf"
_NUMBER = re.compile(r"\s*-?\d+(\.\d*)?\s*", re.ASCII)
_PLACE = re.compile(r"(\d+)x(\d+)")  # a pixel's row and column, from 1 or 0


@dataclass(frozen=True)
class Columns:
    """Which cells of a line are what."""

    count: int
    label: int | None
    pixels: tuple[int, ...]
    shape: ImageShape  # of the image as it stands there


class NoColumnError(Exception):
    """There is no column of labels."""


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
        StepError: The columns are no pixels of an image.
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


def blocks_of(file: File, before: int, cells: int) -> Blocks:
    """Finds where records start, by the ends of lines; blank lines at the end are none.

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
    return Blocks(file, every, tuple(starts), max(records, 0), digest.hexdigest())


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


def lines(data: bytes) -> Iterator[str]:
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
