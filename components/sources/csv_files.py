"""CSV files with a line an image and a column a pixel, as Kaggle has MNIST."""

import csv
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv as arrow_csv

from components.config import Ingest
from components.shared.errors import StepError, listed, log_line
from components.shared.records import ImageShape
from components.sources import files, labels
from components.sources.files import File, Offsets
from components.sources.images import WRONG_SIZE, StoredImage, UnreadableError
from components.sources.labels import StoredLabel
from components.sources.source import Opened, Raw, Reader, ReadOptions
from components.sources.splits import split_of

CHUNK = 4 << 20  # bytes scanned at a time
LONGEST_LINE = 1 << 20  # bytes: 256 x 256 pixels of three digits each
LONGEST_BLOCK = 64 << 20
# A block's lines and cells: what is parsed at once, since a call costs time for every column.
LINES, CELLS = 1_024, 4 << 20
_BOM = b"\xef\xbb\xbf"
_NUMBER = re.compile(r"\s*-?\d+(\.\d*)?\s*", re.ASCII)
_PLACE = re.compile(r"(\d{1,6})x(\d{1,6})", re.ASCII)  # a pixel's row and column, from 1 or 0
_NUMBERED = re.compile(r"(.*?)(\d{1,6})", re.ASCII)
_PIXEL = re.compile(r"\s*0*\d{1,3}\s*", re.ASCII)


@dataclass(frozen=True)
class Columns:
    """Which cells of a line are what."""

    count: int
    labels: tuple[int, ...]  # one, or those of a one-hot label; none where none are asked for
    pixels: tuple[int, ...]  # in the order of the image
    shape: ImageShape  # of the image as it stands there


class NoColumnError(Exception):
    """There is no column of labels."""


@dataclass(frozen=True, kw_only=True)
class CsvReader(Reader):
    """A CSV file."""

    offsets: Offsets
    columns: Columns
    floats: bool  # whether pixels may be floating point

    def read(self, start: int, stop: int) -> Iterator[Raw]:
        """See :class:`~components.sources.source.Reader`."""
        for low, high, data in self.offsets.read(start, stop):
            whole = self._table(data)
            if whole and len(whole[0]) >= high:
                pixels, numbers = whole
                images = pixels[low:high].reshape(-1, *self.columns.shape)
                yield Raw(images, numbers[low:high] if self.columns.labels else None)
            else:
                read = [self._line(line) for line in list(_lines(data))[low:high]]
                labels = [label for _, label in read] if self.columns.labels else None
                yield Raw([image for image, _ in read], labels)

    def _table(self, data: bytes) -> tuple[npt.NDArray, npt.NDArray] | None:
        """A block's pixels ``[n, pixels]`` and labels ``[n, …]``, if every cell is a number."""
        names = [str(cell) for cell in range(self.columns.count)]
        pixels = [names[cell] for cell in self.columns.pixels]
        labels = [names[cell] for cell in self.columns.labels]
        block = len(data) + 1
        for kind in (pa.uint8(), pa.float32()) if self.floats else (pa.uint8(),):
            types = dict.fromkeys(pixels, kind) | dict.fromkeys(labels, pa.int64())
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
                continue
            return _stacked(table, pixels, kind.to_pandas_dtype()), _stacked(
                table, labels, np.int64
            )
        return None

    def _line(self, line: str) -> tuple[StoredImage, StoredLabel]:
        """A line's image, or why there is none, and its label."""
        cells = line.split(",")
        if len(cells) != self.columns.count:
            reason = f"{WRONG_SIZE}{len(cells)} cells, expected {self.columns.count}"
            return UnreadableError(reason, line.encode()), None
        label = self._label([cells[cell] for cell in self.columns.labels])
        texts = [cells[cell] for cell in self.columns.pixels]
        for text in texts:
            if not (_NUMBER if self.floats else _PIXEL).fullmatch(text) or float(text) > 255:
                reason = f"pixel {text[:20]!r}, expected a whole number, 0 to 255"
                return UnreadableError(reason, line.encode()), label
        numbers = np.array([float(text) for text in texts])
        whole = numbers.astype(np.int64)
        image = whole if (whole == numbers).all() else numbers
        return image.reshape(self.columns.shape), label

    def _label(self, texts: list[str]) -> StoredLabel:
        if len(texts) < 2:
            return texts[0] if texts else None
        try:
            return np.array([float(text) for text in texts])
        except ValueError:
            return " ".join(texts)


def _stacked(table: pa.Table, names: list[str], kind: npt.DTypeLike) -> npt.NDArray:
    stacked = np.empty((len(table), len(names)), kind)
    for place, name in enumerate(names):
        stacked[:, place] = table[name].to_numpy()
    return stacked


def open_csv(tables: Sequence[File], _: Sequence[File], options: ReadOptions) -> Opened:
    """Opens CSV files, plain or gzip, and finds where their records start.

    Raises:
        StepError: One is not a table of pixels.
    """
    config = options.config
    readers: list[CsvReader] = []
    without: list[str] = []
    for number, file in enumerate(tables):
        plain = files.for_workers(file, options.unpacked, f"{number}.csv")
        first = plain.head(LONGEST_LINE)
        try:
            columns, before = columns_of(first, file.name, options)
        except NoColumnError as error:
            without.append(f"{file.name}: {error}")
            if isinstance(config, Ingest):
                continue
            # Where labels are only for comparison, images without are wanted too.
            columns, before = columns_of(first, file.name, replace(options, labelled=False))
        offsets = offsets_of(plain, before, columns.count)
        reader = CsvReader(
            location=plain.name,
            split=split_of(plain.relpath),
            records=offsets.records,
            digest=offsets.digest,
            shape=columns.shape,
            offsets=offsets,
            columns=columns,
            floats=config.grey,
        )
        readers.append(reader)
    if len(without) == len(tables):
        raise StepError(f"{without[-1]}; --label-column names another")
    for line in without if isinstance(config, Ingest) else []:
        log_line(f"Left out {line}")
    return Opened(readers, labels.choose(config.class_names, config.source), options.conversion)


def holds_pixels(table: File, options: ReadOptions) -> bool:
    """Whether a file is a table of pixels, with labels or without."""
    unlabelled = replace(options, labelled=False)
    first = table.unpacked_head() if table.is_gzip else table.head(LONGEST_LINE)
    try:
        return len(columns_of(first, table.name, unlabelled)[0].pixels) > 3
    except StepError:
        return False


def columns_of(first: bytes, name: str, options: ReadOptions) -> tuple[Columns, int]:
    """Reads the first line of a file.

    Args:
        first: The file's first bytes.
        name: What the user calls it.
        options: The label's column: its name where there is a header, else its place from 0, or
            from -1 backwards, by default the first; whether labels are needed; the shape.

    Returns:
        The columns, and how many bytes come before the first record.

    Raises:
        NoColumnError: There is no such column.
        StepError: The columns are not the pixels of an image.
    """
    end = first.find(b"\n") + 1
    if not end and len(first) >= LONGEST_LINE:
        raise StepError(f"{name}: no end of a line within {LONGEST_LINE:,} bytes, expected CSV")
    text = first[: end or None].removeprefix(_BOM).decode("utf-8", errors="replace").rstrip("\r\n")
    try:
        cells = [cell.strip() for cell in next(csv.reader([text]), [])]
    except csv.Error as error:
        raise StepError(f"{name}: its first line is not CSV ({error})") from None
    if len(cells) == 1 and (found := re.search("[;\t|]", text)):
        what = {";": "semicolons", "\t": "tabs", "|": "bars"}[found[0]]
        raise StepError(f"{name}: cells separated by {what}, expected commas; save it anew")
    label = options.config.label_column if options.labelled else ""
    counts = cells in (_counted(0, len(cells)), _counted(1, len(cells)))
    if counts:
        log_line(f"{name}: its first line counts its columns, and is taken for a header")
    if counts or all(_NUMBER.fullmatch(cell) for cell in cells):
        labels: tuple[int, ...] = (_place(label, len(cells)),) if label else ()
        pixels = tuple(place for place in range(len(cells)) if place not in labels)
        shape = _shape_of(len(pixels), name, options)
        return Columns(len(cells), labels, pixels, shape), end if counts else 0
    labels = _label_columns(cells, label)
    pixels, shape = _pixel_columns(cells, labels, name, options)
    others = [cell for n, cell in enumerate(cells) if n not in (*labels, *pixels)]
    if others and labels:
        log_line(f"{name}: columns {listed(others, 8)} are left out")
    return Columns(len(cells), labels, pixels, shape), end


def _counted(first: int, count: int) -> list[str]:
    return [str(number) for number in range(first, first + count)]


def _place(label: str, count: int) -> int:
    """The place of the label's column in a file without a header."""
    if not re.fullmatch(r"-?\d{1,6}", label, re.ASCII):
        return 0
    place = int(label)
    if not -count <= place < count:
        raise NoColumnError(f"{count} columns, and none at {place}")
    return place % count


def _label_columns(cells: list[str], label: str) -> tuple[int, ...]:
    """The column of that name; or those of a one-hot label: the name with 0, 1, 2, … behind it."""
    if not label:
        return ()
    if cells.count(label) > 1:
        raise NoColumnError(f"{cells.count(label)} columns are called {label}, expected one")
    if label in cells:
        return (cells.index(label),)
    pattern = rf"{re.escape(label)}[ _.-]?([0-9]{{1,3}})"
    one_hot = [(int(m[1]), n) for n, cell in enumerate(cells) if (m := re.fullmatch(pattern, cell))]
    if len(one_hot) < 2 or sorted(one_hot)[-1][0] - sorted(one_hot)[0][0] != len(one_hot) - 1:
        raise NoColumnError(f"columns {listed(cells)[:60]}, and none is {label}")
    return tuple(place for _, place in sorted(one_hot))


def _pixel_columns(
    cells: list[str], labels: tuple[int, ...], name: str, options: ReadOptions
) -> tuple[tuple[int, ...], ImageShape]:
    """The columns of pixels in the order of the image, by their names, and its shape.

    They are called by row and column, as 1x1, or by number, as pixel0: in whatever order they
    stand, and without one left out.
    """
    stems: dict[str, dict[int, int]] = defaultdict(dict)
    places: dict[tuple[int, int], int] = {}
    for n, cell in enumerate(cells):
        if n in labels:
            continue
        if found := _PLACE.fullmatch(cell):
            places[int(found[1]), int(found[2])] = n
        elif found := _NUMBERED.fullmatch(cell):
            if int(found[2]) in stems[found[1]]:
                raise StepError(f"{name}: two columns {cell}; expected one a pixel")
            stems[found[1]][int(found[2])] = n
    if len(places) > max((len(found) for found in stems.values()), default=0):
        rows, columns = (len({place[side] for place in places}) for side in (0, 1))
        if rows * columns != len(places):
            raise StepError(f"{name}: {len(places)} columns as 1x1 of {rows} rows and {columns}")
        return tuple(places[place] for place in sorted(places)), (rows, columns)
    ranked = sorted(stems.items(), key=lambda item: -len(item[1]))
    if not ranked:
        raise StepError(
            f"{name}: columns {listed(cells)}; expected a column a pixel, whose name ends with its "
            "number"
        )
    if len(ranked) > 1 and len(ranked[0][1]) == len(ranked[1][1]):
        raise StepError(f"{name}: pixels {ranked[0][0]}… and {ranked[1][0]}…, expected one image")
    numbers = sorted(ranked[0][1])
    if numbers[0] > 1 or numbers[-1] - numbers[0] != len(numbers) - 1:
        raise StepError(
            f"{name}: columns {ranked[0][0]}{numbers[0]} to {ranked[0][0]}{numbers[-1]} are "
            f"{len(numbers)}; expected all of them, from 0 or 1 on"
        )
    pixels = tuple(ranked[0][1][number] for number in numbers)
    return pixels, _shape_of(len(pixels), name, options)


def _shape_of(count: int, name: str, options: ReadOptions) -> ImageShape:
    """The shape of an image of so many pixels: that of --shape, or a square's."""
    shape = options.conversion.stored_shape(count, None)
    if shape is None:
        expected = options.config.shape or "a square's"
        raise StepError(
            f"{name}: {count} pixels a line, expected {expected}, or columns named 1x1, 1x2, …; "
            "--shape names another"
        )
    return shape


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
    with file.open_stream() as opened:
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
    with file.open() as opened:
        tail: bytes = opened.read_at(size - begin, begin)
    text = tail.rstrip(b" \t\r\n")
    lines = tail[len(text) :].split(b"\n")
    blank = len(lines) - 1 + bool(lines[-1])  # the last one may have no end
    return blank if not text else max(blank - 1, 0)


def _lines(data: bytes) -> Iterator[str]:
    """The lines of a block."""
    for line in data.removesuffix(b"\n").split(b"\n"):
        yield line.removeprefix(_BOM).decode("utf-8", errors="replace").strip()
