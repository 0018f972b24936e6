"""Arrays that lie in a file record by record, so that workers read ranges of them."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from math import prod

import numpy as np
import numpy.typing as npt
from pyarrow import fs

from components.shared.errors import StepError
from components.sources.filesystem import writing

CHUNK = 1 << 20  # bytes unpacked at a time


@dataclass(frozen=True)
class Header:
    """What an array's file says before its values."""

    offset: int  # bytes before the first value
    shape: tuple[int, ...]  # records first
    dtype: str  # as numpy writes it

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.offset + prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class ArrayFile:
    """An unpacked array whose header was checked against its size."""

    filesystem: fs.FileSystem  # where the unpacked file lies
    path: str
    name: str  # what the user calls it, for messages
    below: str  # the same, below the directory that the source names
    header: Header
    sha256: str  # of the unpacked file

    @property
    def shape(self) -> tuple[int, ...]:
        """Records first."""
        return self.header.shape

    @property
    def records(self) -> int:
        """How many records the file holds."""
        return self.header.shape[0]

    def read(self, start: int, stop: int) -> npt.NDArray:
        """Reads records start … stop - 1 and nothing else.

        Returns:
            ``[stop - start, *shape[1:]]`` of the file's dtype.
        """
        dtype = np.dtype(self.header.dtype)
        size = prod(self.shape[1:]) * dtype.itemsize
        with self.filesystem.open_input_file(self.path) as file:
            data = file.read_at((stop - start) * size, self.header.offset + start * size)
        if len(data) != (stop - start) * size:
            raise StepError(f"{self.name}: ends before record {stop}; it changed while it was read")
        return np.frombuffer(data, dtype).reshape(stop - start, *self.shape[1:])


def unpack(
    chunks: Iterator[bytes],
    parse: Callable[[bytes], Header],
    name: str,
    below: str,
    target: fs.FileSystem,
    path: str,
    there: bool = False,
) -> ArrayFile:
    """Has an array lie where workers can read ranges of it, and checks it against its header.

    Args:
        chunks: The file's bytes; the first chunk holds the whole header.
        parse: Reads the header.
        name: What the user calls the file.
        below: The same, below the directory that the source names.
        target: Where every worker can read the unpacked file.
        path: Of the unpacked file there.
        there: Whether it lies there already, so that nothing is written.

    Raises:
        StepError: It is longer or shorter than its header says. What is longer is not unpacked.
    """
    digest, size = sha256(), 0
    first = next(chunks, b"")
    header = parse(first)
    with nullcontext() if there else writing(target, path) as out:
        chunk = first
        while chunk and size + len(chunk) <= header.size:
            size += len(chunk)
            if out:
                out.write(chunk)
            digest.update(chunk)
            chunk = next(chunks, b"")
    if chunk or size != header.size:
        found = f"more than {header.size}" if chunk else size
        raise StepError(
            f"{name}: {found} bytes unpacked, expected {header.size} "
            f"for {' x '.join(map(str, header.shape))}; fetch it again"
        )
    return ArrayFile(target, path, name, below, header, digest.hexdigest())
