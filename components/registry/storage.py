"""Where a registry's files lie: one interface, a local directory or a bucket behind it.

A registry asks four things of its storage: to publish a version whole, to replace a small file by
compare-and-swap, to take a version back, and to list what was left by a push that was killed.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, Protocol

import google_crc32c
from pydantic import BaseModel

from components.shared.errors import StepError

SERVABLE = (
    "saved_model.pb"  # TensorFlow Serving takes a numbered directory for a model by this file
)
STAGING = ".staging"
# What became of a number: empty once it was removed. Not .versions, which SeaweedFS takes for its
# own and does not list.
MARKS = ".numbers"
MAX_VERSION = 10**18 - 1  # TensorFlow Serving's versions are int64
_CHUNK = 1 << 20


class Conflict(Exception):  # noqa: N818 - an outcome to try again on, not an error
    """Somebody else was quicker: a file was replaced since it was read, a number is taken."""


class NotStoredError(StepError):
    """There is no file of that name."""


class StoredFile(NamedTuple):
    """A small file as it was read."""

    data: bytes | None  # None where there is no such file
    generation: str  # what :meth:`Storage.replace` has to find there still


class Digest(BaseModel):
    """Size and checksums of a file's content."""

    size: int  # bytes
    sha256: str  # hexadecimal
    crc32c: str  # base64 of the four bytes, big-endian, as Cloud Storage gives it

    @classmethod
    def of(cls, file: BinaryIO) -> "Digest":
        """Computes the digest of what is left to read of a file."""
        size, sha256, crc32c = 0, hashlib.sha256(), google_crc32c.Checksum()
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            sha256.update(chunk)
            crc32c.update(chunk)
        encoded = base64.b64encode(crc32c.digest()).decode()
        return cls(size=size, sha256=sha256.hexdigest(), crc32c=encoded)


class Part(NamedTuple):
    """A file to publish, and what it has to hold once it is there."""

    source: Path
    digest: Digest


class Storage(Protocol):
    """The files of one model. All errors are a :class:`StepError` but for :class:`Conflict`.

    Nothing is removed on the strength of an earlier look: what is removed is looked at again in the
    moment of removal, and a version that became the champion, or a leftover that became a version,
    stays.
    """

    location: str  # the address, for people

    def versions(self) -> list[int]:
        """Returns the numbers of the versions that can be served, ascending."""

    def taken_numbers(self) -> list[int]:
        """Returns every number that something lies under or was removed from, ascending."""

    def contains(self, version: int) -> bool:
        """Returns whether a version is there, without a look at the others."""

    def files(self, version: int) -> list[str]:
        """Returns the names of a version's files, relative to it, sorted."""

    def open(self, name: str) -> BinaryIO:
        """Opens a file, relative to the model, for reading.

        Raises:
            NotStoredError: It is not there.
        """

    def read(self, name: str) -> StoredFile:
        """Reads a small file that is replaced by compare-and-swap."""

    def replace(self, name: str, data: bytes, generation: str) -> None:
        """Replaces a small file whole.

        Raises:
            Conflict: It is no longer the one whose generation that is.
        """

    def publish(self, version: int, parts: Mapping[str, Part]) -> None:
        """Makes a version appear whole; the number belongs to the caller.

        Raises:
            Conflict: Something lies under that number already, which is left alone, or was removed
                from it.
        """

    def hold(self, version: int) -> bool:
        """Returns whether a version is there, and makes a removal that is under way miss it.

        Who makes a version the champion writes that down first and calls this then; who removes one
        looks for the champion in between. So of the two at once, one always notices. A checksum of
        the content will do for :meth:`replace`, whose content is all there is to know, but not
        here: a version that is held again has the same bytes.
        """

    def remove(self, version: int, unneeded: Callable[[], bool]) -> bool:
        """Removes a version, first of all from the sight of readers; returns whether it did.

        Args:
            version: Which.
            unneeded: Is called in the moment of removal; where it returns False, nothing is
                removed.
        """

    def leftovers(self) -> dict[str, float]:
        """Returns what killed pushes left: names, with the time of the last write (Unix, s)."""

    def remove_leftover(self, leftover: str, before: float) -> bool:
        """Removes one of those, unless it was written to since ``before`` (Unix, s) or went live.

        Returns:
            Whether it did.
        """

    def fetch(self, version: int, cache: Path) -> Path:
        """Returns a local directory with a version; ``cache`` is used where it lies elsewhere."""


def version_number(name: str) -> int | None:
    """Returns the version that a file or object of this name stands for, None if none.

    Only what TensorFlow Serving writes itself counts: no sign, no leading zero, no other script.
    """
    return int(name) if re.fullmatch(r"[1-9][0-9]{0,17}", name) else None


def checked_name(name: str) -> str:
    """Returns a file's name if it cannot lead out of its directory.

    Raises:
        StepError: It is absolute or empty, or has ``..``, a backslash or a control character.
    """
    path = PurePosixPath(name)
    steps_out = path.is_absolute() or ".." in path.parts or path.as_posix() != name or name == "."
    if steps_out or re.search(r"[\x00-\x1f\x7f\\]", name):
        raise StepError(
            f"{name!r}: not a file name for a registry, expected a plain relative path without '..'"
        )
    return name
