"""Files sorted by what they are."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath
from typing import Protocol, TypeVar

from components.shared.errors import log_line
from components.sources import content
from components.sources.split_names import listed

LOOKED_INTO = 8  # files of one suffix; where they are all alike, the others are taken to be too
_DOCUMENTS = {"", ".md", ".txt", ".json", ".html", ".pdf", ".rst", ".py", ".yaml", ".yml", ".lock"}


class Named(Protocol):
    """A file, wherever it lies."""

    @property
    def below(self) -> str:
        """Its path below the directory that the source names."""


Some = TypeVar("Some", bound=Named)


def by_kind(files: Iterable[Some], kind_of: Callable[[Some], str]) -> dict[str, list[Some]]:
    """Sorts files by what they are: by content; by name where the content says nothing.

    Args:
        files: The files.
        kind_of: Looks into one.
    """
    of_suffix: dict[str, list[Some]] = defaultdict(list)
    for file in files:
        of_suffix[_alike(file.below)].append(file)
    of_kind: dict[str, list[Some]] = defaultdict(list)
    for alike in of_suffix.values():
        kinds = [_kind(file, kind_of) for file in alike[:LOOKED_INTO]]
        if len(set(kinds)) > 1:
            kinds += [_kind(file, kind_of) for file in alike[LOOKED_INTO:]]
        kinds += kinds[:1] * (len(alike) - len(kinds))
        for kind, file in zip(kinds, alike, strict=True):
            of_kind[kind].append(file)
    return {kind: sorted(found, key=lambda file: file.below) for kind, found in of_kind.items()}


def tell_left_out(beside: Sequence[Named]) -> None:
    """Tells which files hold no images, but for documents, from which nobody expects any."""
    left_out = [file.below for file in beside if not _is_document(file)]
    if left_out:
        log_line(f"Left out, since no images are in it: {listed(left_out)}")


def _alike(below: str) -> str:
    """What the names of files of one kind have in common: a suffix, whatever numbers are in it."""
    path = PurePath(below)
    packed = path.suffix.lower() == ".gz"
    suffix = path.with_suffix("").suffix + ".gz" if packed else path.suffix
    return re.sub(r"\d+", "0", suffix.lower())


def _kind(file: Some, kind_of: Callable[[Some], str]) -> str:
    kind = kind_of(file)
    return content.promised_by(file.below) if kind == content.OTHER else kind


def _is_document(file: Named) -> bool:
    return PurePath(file.below).suffix.lower() in _DOCUMENTS
