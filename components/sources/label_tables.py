"""The labels of pictures that are not in a folder a class: in a table of files, or beside each.

Hugging Face's metadata.csv and metadata.jsonl, Kaggle's tables of an id and a label, a column of 0
and 1 a class as Roboflow writes it, and WebDataset's tars, where 0001.cls goes with 0001.png.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol

from components.shared.errors import StepError, listed, log_line
from components.sources.splits import split_of

LONGEST = 64 << 20  # bytes of a table
SUFFIXES = (".csv", ".tsv", ".jsonl")
WEBDATASET = ".cls"
_SPLIT_COLUMNS = ("split", "set", "subset")
# Under such a name only, numbers are those of files.
_FILE_COLUMNS = (
    "id",
    "image",
    "image_id",
    "image_name",
    "img",
    "file",
    "file_name",
    "filename",
    "path",
)


class Readable(Protocol):
    """A file, on disk or in an archive."""

    @property
    def name(self) -> str:
        """What the user calls it."""

    @property
    def relpath(self) -> str:
        """Its path in the directory that the source names."""

    def head(self, size: int = ...) -> bytes:
        """Its first bytes."""


class PictureLabel(NamedTuple):
    """What is said of a picture."""

    label: str
    split: str | None


class Table(NamedTuple):
    """A table of texts."""

    header: list[str]  # empty where there is none
    rows: list[list[str]]


def find_labels(
    pictures: Sequence[str], other_files: Sequence[Readable], label_column: str
) -> dict[str, PictureLabel]:
    """Looks for the labels of pictures in the files beside them.

    Args:
        pictures: Their paths in the source.
        other_files: Those that are not pictures.
        label_column: What a table calls its labels.

    Returns:
        Label and split of each picture by its path; nothing where no file says any.

    Raises:
        StepError: A table names files that are not there, or a picture twice with other labels.
    """
    found = dict(_beside(pictures, other_files))
    for file in other_files:
        if file.relpath.lower().endswith(SUFFIXES) and (table := _read(file)):
            for path, labelled in _of_table(table, file, pictures, label_column).items():
                if found.setdefault(path, labelled).label != labelled.label:
                    raise StepError(f"{file.name}: {path} has two labels; expected one")
    return found


def _beside(
    pictures: Sequence[str], other_files: Sequence[Readable]
) -> Iterator[tuple[str, PictureLabel]]:
    """WebDataset's: the text of the file that has a picture's name up to its first dot."""
    texts = {_key(f.relpath): f for f in other_files if f.relpath.endswith(WEBDATASET)}
    for path in pictures if texts else ():
        if file := texts.get(_key(path)):
            yield path, PictureLabel(file.head().decode("utf-8", "replace").strip(), split_of(path))


def _key(relpath: str) -> str:
    folder, _, name = relpath.rpartition("/")
    return f"{folder}/{name.partition('.')[0]}"


def _read(file: Readable) -> Table | None:
    text = file.head(LONGEST).decode("utf-8-sig", "replace")
    if file.relpath.lower().endswith(".jsonl"):
        try:
            records = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            return None
        if not records or not all(isinstance(record, dict) for record in records):
            return None
        header = list(dict.fromkeys(name for record in records for name in record))
        return Table(header, [[str(one.get(name, "")) for name in header] for one in records])
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        rows = [
            [cell.strip() for cell in row]
            for row in csv.reader(text.splitlines(), delimiter=separator)
        ]
    except csv.Error:
        return None
    rows = [row for row in rows if any(row)]
    if len(rows) < 2 or len({len(row) for row in rows}) > 1 or len(rows[0]) < 2:
        return None
    return Table([], rows)


def _of_table(
    table: Table, file: Readable, pictures: Sequence[str], label_column: str
) -> dict[str, PictureLabel]:
    """The labels in a table; nothing where it is not one of pictures and labels."""
    header, rows = table
    rows = [[cell.removeprefix("./") for cell in row] for row in rows]
    folder = str(PurePosixPath(file.relpath).parent)
    paths = _by_name(pictures, "" if folder == "." else f"{folder}/")
    column = _column_of_files(header or rows[0], rows, paths)
    if column is None:
        return {}
    if not header and rows[0][column] not in paths:
        header, rows = rows[0], rows[1:]
    labels = _labels(header, rows, column, label_column)
    if labels is None:
        return {}
    names = [row[column] for row in rows]
    if missing := [name for name in names if name not in paths]:
        raise StepError(
            f"{file.name}: names {len(missing):,} files that are not there: {listed(missing)}"
        )
    if several := [name for name in names if len(paths[name]) > 1]:
        raise StepError(f"{file.name}: {several[0]} is the name of {len(paths[several[0]])} files")
    at = next((n for n, name in enumerate(header) if name.lower() in _SPLIT_COLUMNS), None)
    found: dict[str, PictureLabel] = {}
    for row, name, label in zip(rows, names, labels, strict=True):
        (path,) = paths[name]
        split = split_of(path) if at is None else split_of(row[at])
        if found.setdefault(path, PictureLabel(label, split)).label != label:
            raise StepError(f"{file.name}: {path} has two labels; expected one")
    log_line(f"Labels are those of {file.relpath}, for {len(found):,} pictures")
    return found


def _by_name(pictures: Iterable[str], folder: str) -> dict[str, set[str]]:
    """The pictures in a folder by all that a table may call them: path, name, name without type."""
    found: dict[str, set[str]] = {}
    for path in pictures:
        if path.startswith(folder):
            pure = PurePosixPath(path)
            below = path[len(folder) :]
            for name in {path, below, pure.name, pure.stem}:
                found.setdefault(name, set()).add(path)
    return found


def _column_of_files(
    header: list[str], rows: list[list[str]], paths: dict[str, set[str]]
) -> int | None:
    """The column most of whose cells name pictures."""
    counts = [
        sum(
            row[place] in paths and (name.lower() in _FILE_COLUMNS or not row[place].isdecimal())
            for row in rows
        )
        for place, name in enumerate(header)
    ]
    most = max(counts)
    return counts.index(most) if most * 2 >= len(rows) else None


def _labels(
    header: list[str], rows: list[list[str]], files: int, label_column: str
) -> list[str] | None:
    """The label of each row: a column's of that name, the only one's, or of columns of 0 and 1."""
    others = [
        place
        for place in range(len(rows[0]) if rows else 0)
        if place != files and (not header or header[place].lower() not in _SPLIT_COLUMNS)
    ]
    if label_column in header:
        others = [header.index(label_column)]
    if len(others) == 1:
        return [row[others[0]] for row in rows]
    one_hot = [[row[place] for place in others] for row in rows]
    if not header or not all(
        sorted(set(row)) == ["0", "1"] and row.count("1") == 1 for row in one_hot
    ):
        return None
    return [header[others[row.index("1")]] for row in one_hot]
