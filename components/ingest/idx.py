"""The IDX file format, as MNIST is published in it.

Source: http://yann.lecun.com/exdb/mnist, "THE IDX FILE FORMAT".
"""

import gzip
import hashlib
import shutil
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from components.shared.errors import StepError

UNSIGNED_BYTE = 0x08


@dataclass(frozen=True)
class IdxFile:
    """An unpacked IDX file of unsigned bytes whose header was checked against its size."""

    path: Path  # the unpacked file
    name: str  # what the user calls it, for messages
    shape: tuple[int, ...]  # records first
    sha256: str

    @property
    def records(self) -> int:
        """How many records the file holds."""
        return self.shape[0]

    def read(self, start: int, stop: int) -> npt.NDArray[np.uint8]:
        """Reads records start … stop - 1 and nothing else.

        Returns:
            uint8 ``[stop - start, *shape[1:]]``.
        """
        size = int(np.prod(self.shape[1:]))
        with self.path.open("rb") as file:
            file.seek(_header_size(len(self.shape)) + start * size)
            data = file.read((stop - start) * size)
        return np.frombuffer(data, np.uint8).reshape(stop - start, *self.shape[1:])


def unpack(directory: Path, name: str, target: Path, dimensions: int, md5: str | None) -> IdxFile:
    """Unpacks a file so that workers can read ranges of it, and checks it.

    Args:
        directory: Where ``name`` or ``name.gz`` lies.
        name: The file's name without ``.gz``.
        target: Directory for the unpacked file.
        dimensions: How many dimensions it must have: 3 for images, 1 for labels.
        md5: The published MD5 sum of the unpacked file, if there is one.

    Raises:
        StepError: The file is missing, is no gzip, is cut short, is no IDX file of that many
            dimensions, or differs from its published sum.
    """
    source = _find(directory, name)
    unpacked = target / name
    try:
        with _open(source) as packed, unpacked.open("wb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StepError(
            f"{source}: damaged gzip ({error}); expected a whole .gz file, fetch it again"
        ) from None
    shape = _shape(unpacked, source, dimensions)
    with unpacked.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if md5 not in (None, found):
        raise StepError(
            f"{source}: MD5 of the unpacked file is {found}, expected {md5} (MD5SUMS); "
            "fetch it again"
        )
    return IdxFile(unpacked, str(source), shape, sha256)


def _find(directory: Path, name: str) -> Path:
    for candidate in (directory / name, directory / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise StepError(f"{directory / name}: not found, neither plain nor as {name}.gz")


def _open(path: Path) -> BinaryIO:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _header_size(dimensions: int) -> int:
    return 4 + 4 * dimensions


def _shape(path: Path, source: Path, dimensions: int) -> tuple[int, ...]:
    expected_magic = UNSIGNED_BYTE << 8 | dimensions
    with path.open("rb") as file:
        header = file.read(_header_size(dimensions))
    if len(header) < _header_size(dimensions):
        raise StepError(
            f"{source}: {len(header)} bytes, expected an IDX header of {_header_size(dimensions)}"
        )
    magic, *shape = struct.unpack(f">{1 + dimensions}I", header)
    if magic != expected_magic:
        raise StepError(
            f"{source}: magic number {magic}, expected {expected_magic} "
            f"(IDX, unsigned bytes, {dimensions} dimension{'s' if dimensions > 1 else ''})"
        )
    expected = len(header) + int(np.prod(shape, dtype=object))
    if path.stat().st_size != expected:
        raise StepError(
            f"{source}: {path.stat().st_size} bytes unpacked, expected {expected} "
            f"for {' x '.join(map(str, shape))}; fetch it again"
        )
    return tuple(shape)
