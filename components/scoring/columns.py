"""The columns of a Parquet file in which a model's answers lie."""

import hashlib
import json
from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import pyarrow as pa

HASH_BYTES = 16


def column(name: str, kind: pa.DataType, description: str, nullable: bool = False) -> pa.Field:
    """Returns a column with its description."""
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


def class_names_metadata(class_names: Sequence[str]) -> dict[str, str]:
    """Returns a schema's metadata: the names of the classes, as a JSON list."""
    return {"class_names": json.dumps(list(class_names))}


def answer_columns(classes: int) -> list[pa.Field]:
    """Returns the columns of an image and what a model says of it."""
    return [
        column("predicted", pa.int8(), "the most probable class, as its place in class_names"),
        column("probabilities", pa.list_(pa.float32(), classes), "of the classes"),
        column(
            "image_hash",
            pa.string(),
            f"first {HASH_BYTES} bytes of the sha256 of the pixels, in hexadecimal",
        ),
    ]


def answers(
    images: npt.NDArray[np.uint8], probabilities: npt.NDArray[np.float32]
) -> list[pa.Array]:
    """Fills those columns.

    Args:
        images: uint8 ``[n, height, width]``.
        probabilities: float32 ``[n, classes]``.
    """
    flat = pa.array(probabilities.reshape(-1))
    return [
        pa.array(probabilities.argmax(axis=1)).cast(pa.int8()),
        pa.FixedSizeListArray.from_arrays(flat, probabilities.shape[1]),
        image_hashes(images),
    ]


def image_hashes(images: npt.NDArray[np.uint8]) -> pa.StringArray:
    """Returns what tells images ``[n, height, width]`` apart: equal images have equal hashes."""
    pixels, size = np.ascontiguousarray(images).data.cast("B"), prod(images.shape[1:])
    sha256 = hashlib.sha256
    digests = b"".join(
        [sha256(pixels[start : start + size]).digest() for start in range(0, len(pixels), size)]
    )
    # One text for all, cut by Arrow: a text an image takes as long as its sum.
    whole = np.frombuffer(digests, np.uint8).reshape(len(images), -1)
    text = whole[:, :HASH_BYTES].tobytes().hex().encode()
    cuts = np.arange(0, len(text) + 1, 2 * HASH_BYTES, dtype=np.int32)
    return pa.StringArray.from_buffers(len(images), pa.py_buffer(cuts), pa.py_buffer(text))
