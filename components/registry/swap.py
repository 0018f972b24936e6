"""Manifests in a storage that several processes change: each a file, by compare-and-swap."""

from collections.abc import Callable
from typing import TypeVar

from components.registry.storage import Conflict, Storage
from components.shared.errors import StepError
from components.shared.manifests import Manifest

ATTEMPTS = 30  # at a file that others keep replacing


class Kept(Manifest):
    """A manifest that a registry keeps."""


File = TypeVar("File", bound=Kept)


def parse(storage: Storage, kind: type[File], name: str, data: bytes) -> File:
    """Parses a manifest that was read from a storage.

    Raises:
        StepError: It does not follow the schema.
    """
    return kind.parse(data, f"{storage.where}/{name}")


def read(storage: Storage, kind: type[File]) -> File | None:
    """Reads a manifest, None where there is none."""
    return _read(storage, kind)[0]


def swap(storage: Storage, kind: type[File], change: Callable[[File | None], File]) -> File:
    """Replaces a manifest by what ``change`` makes of it.

    Args:
        storage: Where it lies.
        kind: Which it is.
        change: Is called again with the new manifest where somebody else was quicker.

    Returns:
        The manifest that lies there now.
    """
    written = None
    for _ in range(ATTEMPTS):
        current, generation = _read(storage, kind)
        if current is not None and current == written:
            return current  # the conflict was with this very write, whose answer got lost
        changed = change(current)
        if changed == current:
            return changed
        try:
            data = changed.model_dump_json(indent=2) + "\n"
            storage.replace(kind.FILE, data.encode(), generation)
        except Conflict:
            written = changed
            continue
        return changed
    raise _too_busy(storage, kind)


def _read(storage: Storage, kind: type[File]) -> tuple[File | None, str]:
    for _ in range(ATTEMPTS):
        try:
            data, generation = storage.read(kind.FILE)
        except Conflict:
            continue
        return (None if data is None else parse(storage, kind, kind.FILE, data)), generation
    raise _too_busy(storage, kind)


def _too_busy(storage: Storage, kind: type[Kept]) -> StepError:
    return StepError(f"{storage.where}/{kind.FILE}: others keep replacing it; try again")
