"""Digits in the columns of a Parquet table: in the layouts that data sets come in."""

import io
from math import prod

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from components.ingest.source import WRONG_SIZE, Records, Unusable
from components.shared.errors import StepError
from components.shared.records import Images, ImageShape

COLUMNS = ("image", "label")
LAYOUTS = (
    "struct<bytes: binary, path: string> with a PNG, fixed_size_binary[784], or a list of 784 uint8"
)


def check_schema(schema: pa.Schema, name: str) -> None:
    """Checks that a file holds images and labels in a layout that can be read.

    Raises:
        StepError: It does not.
    """
    for column in COLUMNS:
        if column not in schema.names:
            raise StepError(
                f"{name}: columns {', '.join(schema.names) or 'none'}; "
                f"expected {' and '.join(COLUMNS)}"
            )
    image, label = (schema.field(column).type for column in COLUMNS)
    if not (_is_png(image) or _is_binary(image) or _is_list(image)):
        raise StepError(f"{name}: column image is {image}; expected {LAYOUTS}")
    if not pa.types.is_integer(label):
        raise StepError(f"{name}: column label is {label}; expected int64")


def decode(table: pa.Table, image_shape: ImageShape) -> Records:
    """Decodes a table of a checked schema; positions count its rows from 0."""
    labels, no_label = _labels(table["label"])
    images = np.zeros((len(table), *image_shape), np.uint8)
    unreadable = []
    column = table["image"].combine_chunks()
    plain = _plain(column, image_shape)
    if plain is not None:
        images[:] = plain
    else:
        for position, value in enumerate(column):
            reason = _read_into(images[position], value)
            if reason:
                label = None if no_label[position] else int(labels[position])
                unreadable.append(Unusable(position, reason, _bytes(value), label))
    lost = {record.position for record in unreadable}
    for position in np.flatnonzero(no_label).tolist():
        if position not in lost:
            content = images[position].tobytes()
            unreadable.append(Unusable(position, "no label", content, None))
    unreadable.sort(key=lambda record: record.position)
    readable = np.ones(len(table), bool)
    readable[[record.position for record in unreadable]] = False
    return Records(images[readable], labels[readable], np.flatnonzero(readable), unreadable)


def _labels(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The labels, and which are missing; one too large for int64 is no label either."""
    missing = column.is_null().to_numpy()
    values = column.cast(pa.int64(), safe=False).fill_null(-1).to_numpy()
    return values, missing


def _plain(column: pa.Array, image_shape: ImageShape) -> Images | None:
    """All images at once, uint8 ``[n, height, width]``, if every one lies there in full."""
    pixels = prod(image_shape)
    kind = column.type
    if column.null_count:
        return None
    if pa.types.is_fixed_size_binary(kind) and kind.byte_width == pixels:
        data = column.buffers()[1]
        flat = np.frombuffer(data, np.uint8)[column.offset * pixels :][: len(column) * pixels]
    elif _is_list(kind):
        flat_values = column.flatten()
        lengths = column.value_lengths().to_numpy()
        if flat_values.null_count or (lengths != pixels).any():
            return None
        flat = flat_values.to_numpy()
    else:
        return None
    return flat.reshape(-1, *image_shape)


def _read_into(image: Images, value: pa.Scalar) -> str:
    """Reads one image; returns why it cannot be read, or nothing."""
    if not value.is_valid:
        return "no image"
    if _is_png(value.type):
        return _read_png(image, value["bytes"].as_py())
    pixels = _bytes(value)
    if len(pixels) != image.size:
        return f"{WRONG_SIZE}{len(pixels)} bytes, expected {image.size}"
    image[:] = np.frombuffer(pixels, np.uint8).reshape(image.shape)
    return ""


def _read_png(image: Images, data: bytes | None) -> str:
    if data is None:
        return "no image"
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.size[::-1] != image.shape:
                found, expected = (
                    " x ".join(map(str, shape)) for shape in (picture.size[::-1], image.shape)
                )
                return f"{WRONG_SIZE}{found} pixels, expected {expected}"
            if picture.mode != "L":
                return f"PNG of mode {picture.mode}, expected L (8 bits of grey)"
            image[:] = np.asarray(picture)
    # Pillow raises whatever a damaged file brings about, of many kinds.
    except Exception as error:  # noqa: BLE001
        return f"damaged PNG ({type(error).__name__})"
    return ""


def _bytes(value: pa.Scalar) -> bytes:
    """What is there of an image, for the record of what was rejected."""
    if not value.is_valid:
        return b""
    if _is_png(value.type):
        return value["bytes"].as_py() or b""
    if _is_list(value.type):
        return bytes(pixel or 0 for pixel in value.as_py())
    return value.as_py()


def _is_png(kind: pa.DataType) -> bool:
    return (
        pa.types.is_struct(kind)
        and kind.get_field_index("bytes") >= 0
        and pa.types.is_binary(kind.field("bytes").type)
    )


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _is_list(kind: pa.DataType) -> bool:
    lists = pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list
    return any(check(kind) for check in lists) and pa.types.is_uint8(kind.value_type)
