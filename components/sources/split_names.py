"""Which split a file belongs to by its name, and which records of a source make up each split."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from components.shared.errors import StepError, log_line
from components.shared.manifests import SPLITS
from components.sources.asked import Asked
from components.sources.source import BY_HASH, Segment

# The names that data sets give their splits, as words of a file's or a directory's name.
_NAMES = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "tst", "t10k"),
}
_SPLITS = {name: split for split, names in _NAMES.items() for name in names}


def split_of(path: str) -> str | None:
    """The split that a path says by a word of its file's name, or else of a directory's.

    Args:
        path: Relative to the directory that the source names, so that what lies above says nothing.
    """
    for part in reversed(path.split("/")):
        found = {_SPLITS[word] for word in re.findall("[a-z0-9]+", part.lower()) if word in _SPLITS}
        if len(found) == 1:
            return found.pop()
    return None


class Piece(NamedTuple):
    """A file, or a part of one: what a source has of one split at most."""

    name: str  # for messages
    split: str | None
    records: int


@dataclass(frozen=True)
class Splits:
    """Which records of a source's pieces make up each split, and why."""

    segments: tuple[Segment, ...]  # Segment.file is the place of the piece
    told: str


def assign(pieces: Sequence[Piece], asked: Asked) -> Splits:
    """Keeps the splits of a source, or leaves them to a hash of each image where it has none.

    Where splits are not asked for, nothing is left out either.

    A source has splits where its pieces name both train and test. Validation, where no piece
    names it, is taken off the start of train. Pieces of no split are then left out, and told.

    Raises:
        StepError: There is a split without records.
    """
    named = {piece.split for piece in pieces} - {None}
    if not any(piece.records for piece in pieces):
        raise StepError(f"{pieces[0].name}: no records in {len(pieces)} files, expected some")
    if asked.validation_size is None or not {"train", "test"} <= named:
        whole = [Segment(None, place, 0, piece.records) for place, piece in enumerate(pieces)]
        return Splits(tuple(whole), _by_hash(sorted(filter(None, named))))
    for split in SPLITS:
        of_split = [piece for piece in pieces if piece.split == split]
        if of_split and not any(piece.records for piece in of_split):
            raise StepError(f"{of_split[0].name}: no records, expected some for the split {split}")
    taken = 0 if "validation" in named else asked.validation_size
    segments = tuple(_official(pieces, taken))
    left_out = [piece.name for piece in pieces if piece.split is None]
    if left_out:
        log_line(f"Left out, since other files name the splits: {listed(left_out)}")
    return Splits(segments, _as_named(taken, len(left_out)))


def listed(names: Sequence[str], most: int = 3) -> str:
    """Lists the first of some names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _official(pieces: Sequence[Piece], taken: int) -> Iterator[Segment]:
    train = [piece for piece in pieces if piece.split == "train"]
    total = sum(piece.records for piece in train)
    if taken >= total:
        raise StepError(
            f"{train[0].name}: {total} records, expected more than the {taken} of --validation-size"
        )
    for place, (_, split, records) in enumerate(pieces):
        if split is None:
            continue
        off = min(taken, records) if split == "train" else 0
        taken -= off
        yield Segment("validation", place, 0, off)
        yield Segment(split, place, off, records)


def _as_named(taken: int, left_out: int) -> str:
    told = "train and test are those that the source names"
    told += f", validation is the first {taken:,} records of train" if taken else ", validation too"
    return told + (f"; {left_out:,} files that name none are left out" if left_out else "")


def _by_hash(named: list[str]) -> str:
    names = f"names {' and '.join(named)} only" if named else "names none"
    return f"{BY_HASH}, since the source {names}"
