"""MNIST's own files, read by numpy alone."""

import gzip
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
MNIST = Path(__file__).resolve().parent.parent / "data" / "mnist"


def read(part: Literal["train", "t10k"]) -> tuple[Bytes, Bytes]:
    """Returns images, uint8 ``[n, 28, 28]``, and labels, uint8 ``[n]``."""

    def bytes_of(name: str, header: int) -> Bytes:
        with gzip.open(MNIST / f"{part}-{name}-ubyte.gz") as file:
            return np.frombuffer(file.read(), np.uint8, offset=header)

    return bytes_of("images-idx3", 16).reshape(-1, 28, 28), bytes_of("labels-idx1", 8)
