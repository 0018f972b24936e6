"""CSV files with a line an image and a column a pixel as a source, as Kaggle has MNIST."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import prod

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from components.shared.errors import StepError, log_line
from components.shared.records import ImageShape
from components.sources import class_names, pictures, unpacking
from components.sources.asked import Asked
from components.sources.blocks import Blocks
from components.sources.class_names import Classes
from components.sources.csv_lines import LONGEST_LINE, Columns, NoColumnError, blocks_of, columns_of
from components.sources.csv_lines import lines as lines_of
from components.sources.locate import File
from components.sources.pictures import Conversion
from components.sources.source import WRONG_SIZE, Range, Records, Unusable, join, ranges_of
from components.sources.split_names import Piece, Splits, assign, split_of

_PIXEL = re.compile(r"\s*0*\d{1,3}\s*", re.ASCII)


@dataclass(frozen=True)
class CsvFile:
    """A CSV file."""

    blocks: Blocks
    columns: Columns

    def table(self, data: bytes) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]] | None:
        """A block's pixels ``[n, pixels]`` and labels ``[n]``, if every cell is as it should be."""
        names = [str(cell) for cell in range(self.columns.count)]
        used = [names[cell] for cell in self.columns.pixels]
        types = dict.fromkeys(used, pa.uint8())
        if self.columns.label is not None:
            types[names[self.columns.label]] = pa.int64()
        try:
            table = csv.read_csv(
                pa.BufferReader(data),
                csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
                csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
                csv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[]),
            )
        except pa.ArrowInvalid:
            return None
        pixels = np.empty((len(table), len(used)), np.uint8)
        for place, name in enumerate(used):
            pixels[:, place] = table[name].to_numpy()
        if self.columns.label is None:
            return pixels, np.full(len(table), -1, np.int64)
        return pixels, table[names[self.columns.label]].to_numpy()


@dataclass(frozen=True)
class CsvSource:
    """CSV files of pixels and labels."""

    files: tuple[CsvFile, ...]
    splits: Splits
    classes: Classes
    conversion: Conversion

    @property
    def image_shape(self) -> ImageShape:
        """See :class:`~components.sources.source.Source`."""
        return self.conversion.shape_of(self.files[0].columns.shape)

    @property
    def class_names(self) -> tuple[str, ...]:
        """See :class:`~components.sources.source.Source`."""
        return self.classes.names

    @property
    def splits_from(self) -> str:
        """See :class:`~components.sources.source.Source`."""
        return self.splits.told

    @property
    def fingerprint(self) -> str:
        """sha256 over the files' names and sha256 sums."""
        blocks = [file.blocks for file in self.files]
        text = "\n".join(f"{one.sha256}  {one.file.below.rpartition('/')[2]}" for one in blocks)
        return sha256(text.encode()).hexdigest()

    def ranges(self, shard_size: int) -> list[Range]:
        """See :class:`~components.sources.source.Source`."""
        return ranges_of(self.splits.segments, shard_size)

    def read(self, part: Range) -> Records:
        """See :class:`~components.sources.source.Source`."""
        file = self.files[part.file]
        blocks = file.blocks.read(part.start, part.stop)
        return self.classes.numbered(join([self._read(file, *block) for block in blocks]))

    def origin(self, part: Range) -> str:
        """See :class:`~components.sources.source.Source`."""
        return self.files[part.file].blocks.file.name

    def _read(self, file: CsvFile, start: int, stop: int, data: bytes) -> Records:
        shape, count = file.columns.shape, stop - start
        whole = file.table(data)
        if whole and len(whole[0]) >= stop:
            pixels, numbers = whole[0][start:stop], whole[1][start:stop]
            return pictures.convert(pixels.reshape(-1, *shape), numbers, self.conversion)
        images = np.zeros((count, prod(shape)), np.uint8)
        labels = np.full(count, -1, np.int64)
        unreadable = []
        for position, line in enumerate(list(lines_of(data))[start:stop]):
            cells, label, reason = self._line(file.columns, line)
            if reason:
                content = line.encode()
                unreadable.append(Unusable(position, reason, content, None))
            else:
                images[position], labels[position] = cells, label
        found = pictures.convert(images.reshape(-1, *shape), labels, self.conversion)
        return pictures.dropped(found, unreadable)

    def _line(self, columns: Columns, line: str) -> tuple[list[int], int, str]:
        """A line's pixels and label, or why they cannot be used."""
        cells = line.split(",")
        if len(cells) != columns.count:
            return [], -1, f"{WRONG_SIZE}{len(cells)} cells, expected {columns.count}"
        texts = [cells[cell] for cell in columns.pixels]
        for text in texts:
            if not _PIXEL.fullmatch(text) or int(text) > 255:
                return [], -1, f"pixel {text[:20]!r}, expected a whole number, 0 to 255"
        if columns.label is None:
            return [int(text) for text in texts], -1, ""
        (label,), (reason,) = self.classes.places([cells[columns.label]])
        return [int(text) for text in texts], int(label), reason


def open_csv(files: Sequence[File], _: Sequence[File], asked: Asked) -> CsvSource:
    """Opens CSV files, plain or gzip, and finds where their records start.

    Args:
        files: The files.
        _: Other files there.
        asked: What is asked of the source.

    Raises:
        StepError: One is no table of pixels, or they differ in their shapes.
    """
    config = asked.config
    found: list[CsvFile] = []
    without = ""
    for number, file in enumerate(files):
        plain = unpacking.for_workers(file, asked.unpacked, f"{number}.csv")
        first = plain.head(LONGEST_LINE)
        try:
            columns, before = columns_of(first, file.name, config.label_column, asked.labelled)
        except NoColumnError as error:
            without = f"{file.name}: {error}"
            log_line(f"Left out {without}")
            continue
        found.append(CsvFile(blocks_of(plain, before, columns.count), columns))
    if not found:
        raise StepError(f"{without}; --label-column names another")
    for one in found[1:]:
        if one.columns.shape != found[0].columns.shape:
            raise StepError(
                f"{one.blocks.file.name}: {len(one.columns.pixels)} pixels a line, expected the "
                f"{len(found[0].columns.pixels)} of {found[0].blocks.file.name}"
            )
    blocks = [one.blocks for one in found]
    pieces = [Piece(one.file.name, split_of(one.file.below), one.records) for one in blocks]
    splits = assign(pieces, asked)
    classes = class_names.choose(config.class_names, config.source)
    return CsvSource(tuple(found), splits, classes, asked.conversion)
