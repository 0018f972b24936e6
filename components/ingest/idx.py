"""The IDX file format, as MNIST is published in it.

Source: http://yann.lecun.com/exdb/mnist, "THE IDX FILE FORMAT".
"""

import gzip
import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from pyarrow import fs

from components.shared.errors import StepError

UNSIGNED_BYTE = 0x08
CHUNK = 1 << 20  # bytes unpacked at a time


@dataclass(frozen=True)
class IdxFile:
    """An unpacked IDX file of unsigned bytes whose header was checked against its size."""

    filesystem: fs.FileSystem  # where the unpacked file lies
    path: str
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
        with self.filesystem.open_input_file(self.path) as file:
            data = file.read_at((stop - start) * size, _header_size(len(self.shape)) + start * size)
        return np.frombuffer(data, np.uint8).reshape(stop - start, *self.shape[1:])


def unpack(
    packed: Path, name: str, target: fs.FileSystem, path: str, dimensions: int, md5: str | None
) -> IdxFile:
    """Unpacks a file so that workers can read ranges of it, and checks it.

    Args:
        packed: The file, plain or gzip by its name.
        name: What the user calls it.
        target: Where every worker can read the unpacked file.
        path: Of the unpacked file there.
        dimensions: How many dimensions it must have: 3 for images, 1 for labels.
        md5: The published MD5 sum of the unpacked file, if there is one.

    Raises:
        StepError: The file is no gzip, is cut short, is no IDX file of that many dimensions, or
            differs from its published sum.
    """
    header, size = b"", 0
    sums = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    try:
        with _open(packed) as file, target.open_output_stream(path) as out:
            while chunk := file.read(CHUNK):
                header = header or chunk[: _header_size(dimensions)]
                size += len(chunk)
                out.write(chunk)
                for digest in sums:
                    digest.update(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StepError(
            f"{name}: damaged gzip ({error}); expected a whole .gz file, fetch it again"
        ) from None
    shape = _shape(header, size, name, dimensions)
    found = sums[0].hexdigest()
    if md5 not in (None, found):
        raise StepError(
            f"{name}: MD5 of the unpacked file is {found}, expected {md5} (MD5SUMS); fetch it again"
        )
    return IdxFile(target, path, name, shape, sums[1].hexdigest())


def _open(path: Path) -> BinaryIO:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _header_size(dimensions: int) -> int:
    return 4 + 4 * dimensions


def _shape(header: bytes, size: int, name: str, dimensions: int) -> tuple[int, ...]:
    if len(header) < _header_size(dimensions):
        raise StepError(
            f"{name}: {len(header)} bytes, expected an IDX header of {_header_size(dimensions)}"
        )
    magic, *shape = struct.unpack(f">{1 + dimensions}I", header)
    expected_magic = UNSIGNED_BYTE << 8 | dimensions
    if magic != expected_magic:
        raise StepError(
            f"{name}: magic number {magic}, expected {expected_magic} "
            f"(IDX, unsigned bytes, {dimensions} dimension{'s' if dimensions > 1 else ''})"
        )
    expected = len(header) + int(np.prod(shape, dtype=object))
    if size != expected:
        raise StepError(
            f"{name}: {size} bytes unpacked, expected {expected} "
            f"for {' x '.join(map(str, shape))}; fetch it again"
        )
    return tuple(shape)
