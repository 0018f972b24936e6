"""The arrays in an ``.npz`` file, as ``numpy.savez`` writes it; nothing is ever unpickled."""

import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.lib import format as npy
from pyarrow import fs

from components.shared.errors import StepError
from components.sources.array_source import ArraySource, open_arrays
from components.sources.arrays import CHUNK, ArrayFile, Header, unpack
from components.sources.asked import Asked
from components.sources.locate import File, fetched

MEMBER = ".npy"


def is_npz(file: File) -> bool:
    """Whether a zip holds arrays."""
    with opened_zip(file) as packed:
        return any(name.endswith(MEMBER) for name in packed.namelist())


def open_npz(files: Sequence[File], _: Sequence[File], asked: Asked) -> ArraySource:
    """Opens ``.npz`` files, as Keras ships MNIST: x_train, y_train, x_test, y_test.

    Args:
        files: The files.
        _: Other files there.
        asked: What is asked of the source.

    Raises:
        StepError: One is damaged, or the arrays do not fit together.
    """
    arrays = [
        array
        for place, file in enumerate(files)
        for array in unpack_all(fetched(file, asked.config.cache), asked.unpacked, f"npz-{place}")
    ]
    return open_arrays(arrays, asked.config.source, asked, asked.conversion)


def unpack_all(file: File, target: fs.FileSystem, prefix: str) -> list[ArrayFile]:
    """Unpacks every array of a file, in the order of their names.

    Args:
        file: The ``.npz`` file.
        target: Where every worker can read the unpacked arrays.
        prefix: Of the unpacked arrays' names there.

    Raises:
        StepError: It is damaged, or holds what is no plain array.
    """
    with opened_zip(file) as packed:
        members = sorted(name for name in packed.namelist() if name.endswith(MEMBER))
        return [
            _unpack(packed, member, file, target, f"{prefix}-{index}")
            for index, member in enumerate(members)
        ]


def _unpack(
    packed: zipfile.ZipFile, member: str, file: File, target: fs.FileSystem, path: str
) -> ArrayFile:
    array = member.removesuffix(MEMBER)
    name = f"{file.name}: {array}"
    below = f"{file.below.removesuffix('.npz')}/{array}"
    chunks = _chunks(packed, member)
    return unpack(chunks, lambda head: parse(head, name), name, below, target, path)


def parse(head: bytes, name: str) -> Header:
    """Reads the header of an npy file.

    Raises:
        StepError: This is no such header, or not one of a plain array.
    """
    start = io.BytesIO(head)
    try:
        version = npy.read_magic(start)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_columns, dtype = read(start)
    except Exception as error:  # noqa: BLE001  # it evaluates a text: of many kinds
        raise StepError(f"{name}: no array's header ({_line(error)})") from None
    if dtype.hasobject or dtype.names:
        raise StepError(f"{name}: an array of Python objects, which are never unpickled")
    if by_columns and len(shape) > 1:
        raise StepError(f"{name}: stored by columns; save numpy.ascontiguousarray(…) instead")
    if not shape or any(side < 0 for side in shape):
        raise StepError(f"{name}: an array of shape {shape}, expected records first")
    return Header(start.tell(), shape, dtype.str)


@contextmanager
def opened_zip(file: File) -> Iterator[zipfile.ZipFile]:
    """Opens a zip; what the standard library raises for a damaged one becomes StepError."""
    try:
        with (
            file.filesystem.open_input_file(file.path) as opened,
            zipfile.ZipFile(opened) as packed,
        ):
            yield packed
    except (
        zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError,
        KeyError, IndexError, OverflowError, np.exceptions.AxisError,
    ) as error:  # fmt: skip
        raise StepError(f"{file.name}: damaged zip ({_line(error)}); fetch it again") from None


def _chunks(packed: zipfile.ZipFile, member: str) -> Iterator[bytes]:
    with packed.open(member) as opened:
        while chunk := opened.read(CHUNK):
            yield chunk


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
