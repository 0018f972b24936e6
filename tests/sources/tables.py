"""Writes the same images and labels, of any numbers, in the forms that hold such."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.sources.sniff import masked_crc

IDX = {"|u1": 0x08, "|i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def write_npz(directory: Path, images: npt.NDArray, labels: npt.NDArray) -> str:
    """As numpy saves arrays."""
    np.savez(directory / "some.npz", x=images, y=labels)
    return str(directory / "some.npz")


def write_idx(directory: Path, images: npt.NDArray, labels: npt.NDArray) -> str:
    """Two IDX files, of the types that the format has."""
    (directory / "idx").mkdir(exist_ok=True)
    for name, array in (("images", images), ("labels", labels)):
        kind = array.dtype
        if kind.str not in IDX:
            kind = np.dtype(">i4" if kind.kind in "iub" else ">f8")
        header = bytes([0, 0, IDX[kind.str], array.ndim]) + struct.pack(
            f">{array.ndim}I", *array.shape
        )
        (directory / "idx" / f"some-{name}").write_bytes(header + array.astype(kind).tobytes())
    return str(directory / "idx")


def write_parquet(directory: Path, images: npt.NDArray, labels: npt.NDArray) -> str:
    """Lists of lists of pixels, and numbers or lists of such as labels."""
    table = {"image": pa.array(images.tolist()), "label": pa.array(labels.tolist())}
    if images.dtype.kind not in "O":
        kind = pa.list_(pa.list_(pa.from_numpy_dtype(images.dtype)))
        table["image"] = pa.array(images.tolist(), kind)
    pq.write_table(pa.table(table), directory / "some.parquet")
    return str(directory / "some.parquet")


def write_csv(directory: Path, images: npt.NDArray, labels: npt.NDArray) -> str:
    """Pixels by row and column; a one-hot label as columns label_0, label_1 and so on."""
    height, width = images.shape[1:]
    columns = labels.reshape(len(labels), -1)
    names = [f"label_{n}" for n in range(columns.shape[1])] if columns.shape[1] > 1 else ["label"]
    names += [f"{row}x{column}" for row in range(height) for column in range(width)]
    pixels = images.reshape(len(images), -1)
    table = pd.concat([pd.DataFrame(columns), pd.DataFrame(pixels)], axis=1)
    table.set_axis(names, axis=1).to_csv(directory / "some.csv", index=False, na_rep="nan")
    return str(directory / "some.csv")


def write_tfrecord(directory: Path, images: npt.NDArray, labels: npt.NDArray) -> str:
    """Examples with pixels in a row, and a label of one or several numbers."""
    records = []
    for image, label in zip(images, labels, strict=True):
        features = _feature("image", image.ravel()) + _feature("label", np.ravel(label))
        example = _field(1, features)
        length = struct.pack("<Q", len(example))
        records += [length, struct.pack("<I", masked_crc(length)), example]
        records.append(struct.pack("<I", masked_crc(example)))
    (directory / "some.tfrecord").write_bytes(b"".join(records))
    return str(directory / "some.tfrecord")


def _feature(name: str, values: npt.NDArray) -> bytes:
    """An entry of ``Features.feature``: a FloatList (2) or an Int64List (3), packed."""
    if values.dtype.kind == "f":
        value = _field(2, _field(1, values.astype("<f4").tobytes()))
    else:
        value = _field(3, _field(1, b"".join(map(_varint, values.tolist()))))
    return _field(1, _field(1, name.encode()) + _field(2, value))


def _field(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(payload)) + payload


def _varint(value: Any) -> bytes:
    value, found = int(value) & ((1 << 64) - 1), b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])
