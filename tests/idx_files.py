"""Writes IDX files for tests, plain or gzip."""

import gzip
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.uint8]


def encode_idx(array: Array) -> bytes:
    """Returns the IDX file of an array of unsigned bytes."""
    return struct.pack(f">{1 + array.ndim}I", 0x0800 | array.ndim, *array.shape) + array.tobytes()


def write_source(
    directory: Path, train: tuple[Array, Array], test: tuple[Array, Array], packed: bool = False
) -> Path:
    """Writes the four files of a source.

    Args:
        directory: Where to, created if need be.
        train: Images uint8 ``[n, 28, 28]`` and labels uint8 ``[n]``.
        test: The same.
        packed: Whether to gzip them.

    Returns:
        The directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for prefix, (images, labels) in (("train", train), ("t10k", test)):
        for name, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
            data = encode_idx(array)
            path = directory / f"{prefix}-{name}{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(data, 1) if packed else data)
    return directory


def read_mnist(directory: Path, prefix: str, records: int) -> tuple[Array, Array]:
    """Reads the first records of MNIST itself, independently of the code under test."""

    def read(name: str, offset: int, size: int) -> Array:
        with gzip.open(directory / f"{prefix}-{name}.gz") as file:
            return np.frombuffer(file.read(offset + records * size), np.uint8, offset=offset)

    images = read("images-idx3-ubyte", 16, 28 * 28).reshape(records, 28, 28)
    return images, read("labels-idx1-ubyte", 8, 1)
