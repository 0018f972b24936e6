"""Images and labels in the columns of a Parquet table, in the layouts that data sets come in."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt, prod

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.shared.errors import StepError
from components.shared.records import ImageShape
from components.sources import column_types, pictures
from components.sources.class_names import Classes
from components.sources.pictures import Conversion
from components.sources.source import WRONG_SIZE, Records, UnreadableError, Unusable

LAYOUTS = (
    "encoded images (binary, or struct<bytes: binary, path: string>), or pixels (binary, or lists "
    "of whole numbers, also nested)"
)
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """Which columns to read, and how."""

    image: str
    label: str  # empty: there are no labels
    classes: Classes
    conversion: Conversion

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return [self.image, self.label] if self.label else [self.image]


def check_schema(schema: pa.Schema, name: str, layout: Layout, texts: bool) -> None:
    """Checks that a file holds images and labels in a layout that can be read.

    Args:
        schema: Of the file.
        name: What the user calls it.
        layout: Which columns to look for.
        texts: Whether labels may be names of classes.

    Raises:
        StepError: It does not.
    """
    for column, option in zip(layout.columns, ("--image-column", "--label-column"), strict=False):
        if column not in schema.names:
            raise StepError(
                f"{name}: columns {', '.join(schema.names) or 'none'}; "
                f"expected {' and '.join(layout.columns)}; {option} names another"
            )
    image = column_types.plain_type(schema.field(layout.image).type)
    if not (column_types.is_binary(image) or column_types.is_pixels(image)):
        raise StepError(f"{name}: column {layout.image} is {image}; expected {LAYOUTS}")
    if not layout.label:
        return
    label = column_types.plain_type(schema.field(layout.label).type)
    if not (pa.types.is_integer(label) or (texts and column_types.is_text(label))):
        named = (
            "; --class-names says what the texts stand for" if column_types.is_text(label) else ""
        )
        raise StepError(f"{name}: column {layout.label} is {label}; expected int64{named}")


def shape_of(table: pa.Table, layout: Layout) -> ImageShape | str:
    """The shape of the first image that can be read, or why the first cannot."""
    column = column_types.plain(table[layout.image])
    reason = "no records"
    for value in _values(column):
        try:
            return layout.conversion.shape_of(_read(value, None, layout.conversion).shape)
        except UnreadableError as error:
            reason = str(error) if reason == "no records" else reason
    return reason


def decode(table: pa.Table, layout: Layout, shape: ImageShape) -> Records:
    """Decodes a table of a checked schema; positions count its rows from 0."""
    labels, no_label = _labels(table, layout)
    column = column_types.plain(table[layout.image])
    block = _block(column, shape, layout.conversion)
    if block is not None and not any(no_label):
        return layout.classes.numbered(pictures.convert(block, labels, layout.conversion))
    images = np.empty((len(table), *shape), np.uint8)
    unreadable = []
    for position, value in enumerate(_values(column)):
        try:
            images[position] = _read(value, shape, layout.conversion)
            if no_label[position]:
                raise UnreadableError(no_label[position])
        except UnreadableError as error:
            label = None if no_label[position] else int(labels[position])
            unreadable.append(Unusable(position, str(error), _bytes(value), label))
    return layout.classes.numbered(pictures.without(unreadable, images, labels))


def _labels(table: pa.Table, layout: Layout) -> tuple[Labels, list[str]]:
    """The labels, and for each why it is none or an empty text."""
    if not layout.label:
        return np.full(len(table), -1, np.int64), [""] * len(table)
    column = column_types.plain(table[layout.label])
    if column_types.is_text(column.type):
        return layout.classes.places(column.to_pylist())
    # One too large for int64 is no label either.
    values = column.cast(pa.int64(), safe=False).fill_null(-1).to_numpy(zero_copy_only=False)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    return values, ["no label" if none else "" for none in missing]


def _block(column: pa.Array, shape: ImageShape, conversion: Conversion) -> npt.NDArray | None:
    """All images at once, as they lie there, if all are of one shape and in full."""
    if column.null_count:
        return None
    if pa.types.is_fixed_size_binary(column.type):
        return _fixed_block(column, shape, conversion)
    if not column_types.is_list(column.type):
        return None
    sides: list[int] = []
    values = column
    while column_types.is_list(values.type):
        lengths = pc.list_value_length(values).to_numpy()
        values = values.flatten()
        if not len(lengths) or (lengths != lengths[0]).any() or values.null_count:
            return None
        sides.append(int(lengths[0]))
    pixels = _in_bounds(values.to_numpy(zero_copy_only=False))
    found = _shape_in_full(sides, shape, conversion)
    return None if pixels is None or found is None else pixels.reshape(-1, *found)


def _fixed_block(column: pa.Array, shape: ImageShape, conversion: Conversion) -> npt.NDArray | None:
    width = column.type.byte_width
    found = _flat_shape(width, shape, conversion)
    if not found:
        return None
    flat = np.frombuffer(column.buffers()[1], np.uint8)
    return flat[column.offset * width :][: len(column) * width].reshape(-1, *found)


def _shape_in_full(
    sides: list[int], shape: ImageShape | None, conversion: Conversion
) -> tuple[int, ...] | None:
    """The shape of images in nested lists, or None where it is not the one expected."""
    found = _flat_shape(sides[0], shape, conversion) if len(sides) == 1 else tuple(sides)
    if not found or len(found) > 3 or (len(found) == 3 and found[2] not in (1, 3, 4)):
        return None
    return found if shape in (None, conversion.shape_of(found)) else None


def _flat_shape(
    count: int, shape: ImageShape | None, conversion: Conversion
) -> tuple[int, int] | None:
    """The shape of an image of so many pixels in a row: the one expected, or a square."""
    if shape and not conversion.size:
        if count != prod(shape):
            return None
        return (shape[1], shape[0]) if conversion.transpose else shape
    side = isqrt(count)
    return (side, side) if count and side * side == count else None


def _read(value: object, shape: ImageShape | None, conversion: Conversion) -> npt.NDArray:
    """Reads one image.

    Raises:
        UnreadableError: It cannot be read.
    """
    if value is None:
        raise UnreadableError("no image")
    if isinstance(value, bytes):
        return conversion.of_bytes(value, shape)
    try:
        array = np.array(value)
    except ValueError:
        raise UnreadableError(f"{WRONG_SIZE}rows of several lengths") from None
    if array.dtype == object:
        raise UnreadableError("null among the pixels")
    pixels = _in_bounds(array)
    if pixels is None:
        raise UnreadableError(f"pixels from {array.min()} to {array.max()}, expected 0 to 255")
    found = _shape_in_full(list(array.shape), shape, conversion)
    if found is None:
        raise UnreadableError(_wrong(array.shape, shape))
    images = pictures.convert(pixels.reshape(1, *found), np.zeros(1, np.int64), conversion)
    if images.unreadable:
        raise UnreadableError(images.unreadable[0].reason)
    return images.images[0]


def _wrong(found: tuple[int, ...], shape: ImageShape | None) -> str:
    expected = f"{prod(shape)}" if shape else "a square's"
    return f"{WRONG_SIZE}{prod(found)} bytes, expected {expected}"


def _in_bounds(pixels: npt.NDArray) -> npt.NDArray[np.uint8] | None:
    if pixels.dtype == np.uint8:
        return pixels
    if not pixels.size or pixels.dtype.kind not in "iu":
        return None
    return None if pixels.min() < 0 or pixels.max() > 255 else pixels.astype(np.uint8)


def _values(column: pa.Array) -> Iterator[object]:
    """The values one by one: bytes, lists or None."""
    for value in column:
        yield value.as_py()


def _bytes(value: object) -> bytes:
    """What is there of an image, for the record of what was rejected."""
    if isinstance(value, bytes):
        return value
    flat = np.array(value, object).ravel().tolist() if value is not None else []
    while any(isinstance(one, list) for one in flat):
        flat = [inner for one in flat for inner in (one if isinstance(one, list) else [one])]
    return bytes(one if isinstance(one, int) and 0 <= one <= 255 else 0 for one in flat)
