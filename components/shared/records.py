"""The record format: an image as a ``tf.train.Example`` in a TFRecord file, without TensorFlow.

Every record is ``image`` (bytes, height·width uint8, row-major, 0 = background) and ``label``
(int64, the place of its class among the data set's classes, from 0).
The bytes are those of TensorFlow's own writer, so any TFRecord reader takes them.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details".
"""

import struct
from functools import cache
from math import prod
from typing import NamedTuple

import google_crc32c
import numpy as np
import numpy.typing as npt

MAX_SIDE = 256  # pixels
MIN_CLASSES = 2
MAX_CLASSES = 128  # so that every label is one byte as a varint, and all records have one length

ImageShape = tuple[int, int]  # pixels: height, width
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]


def encode(images: Images, labels: Labels) -> bytes:
    """Encodes images as the content of a TFRecord file.

    All records have one length, so everything but pixels, label and checksum is written once for
    the whole shard.

    Args:
        images: uint8 ``[n, height, width]``.
        labels: uint8 ``[n]``, each below ``MAX_CLASSES``.

    Returns:
        The records, back to back, in the order given.
    """
    layout, table = _table(images, labels)
    checksums = [_masked_crc(row.tobytes()) for row in table[:, layout.data]]
    table[:, layout.checksum] = np.frombuffer(b"".join(checksums), np.uint8).reshape(-1, 4)
    return table.tobytes()


def examples(images: Images, labels: npt.NDArray[np.integer]) -> list[bytes]:
    """Encodes images as serialized Examples: the records of :func:`encode` without a file."""
    layout, table = _table(images, labels)
    return [row.tobytes() for row in table[:, layout.data]]


def decode(data: bytes | memoryview, image_shape: ImageShape) -> tuple[Images, Labels]:
    """Decodes what :func:`encode` gave, or the start of it.

    Args:
        data: Records back to back; what is left over of a last one is ignored.
        image_shape: Height and width of the images.

    Returns:
        images: uint8 ``[n, height, width]``, a view of the data.
        labels: uint8 ``[n]``, a view of the data.

    Raises:
        ValueError: There are records of another form. Checksums are not looked at.
    """
    layout = _layout(image_shape)
    size = len(layout.template)
    count = memoryview(data).nbytes // size
    table = np.frombuffer(data, np.uint8, count * size).reshape(count, size)
    for part in (slice(layout.image.start), slice(layout.image.stop, layout.label)):
        if not (table[:, part] == layout.template[part]).all():
            raise ValueError("records of another form than ingest writes")
    return table[:, layout.image].reshape(count, *image_shape), table[:, layout.label]


def record_length(image_shape: ImageShape) -> int:
    """Returns the bytes that a record takes in a file."""
    return len(_layout(image_shape).template)


def _table(
    images: Images, labels: npt.NDArray[np.integer]
) -> tuple["_Layout", npt.NDArray[np.uint8]]:
    """Lays records out, one in a row, without their checksums."""
    count, height, width = images.shape
    layout = _layout((height, width))
    table = np.empty((count, len(layout.template)), np.uint8)
    table[:] = layout.template
    table[:, layout.image] = images.reshape(count, height * width)
    table[:, layout.label] = labels
    return layout, table


class _Layout(NamedTuple):
    """A record of images of one shape: its bytes, and where what differs stands in them."""

    template: npt.NDArray[np.uint8]
    data: slice  # what the checksum is over
    image: slice
    label: int
    checksum: slice


@cache
def _layout(image_shape: ImageShape) -> _Layout:
    pixels = prod(image_shape)
    label = _entry(b"label", _INT64_LIST, bytes(1))
    example = message(1, _entry(b"image", _BYTES_LIST, bytes(pixels)) + label)
    length = struct.pack("<Q", len(example))
    header = length + _masked_crc(length)
    end = len(header) + len(example)
    image_end = end - len(label)
    return _Layout(
        template=np.frombuffer(header + example + bytes(4), np.uint8),
        data=slice(len(header), end),
        image=slice(image_end - pixels, image_end),
        label=end - 1,
        checksum=slice(end, end + 4),
    )


_BYTES_LIST, _INT64_LIST = 1, 3  # their fields in Feature


def _entry(name: bytes, kind: int, value: bytes) -> bytes:
    """An entry of ``Features.feature``; kind is the field number of the list in ``Feature``."""
    return message(1, message(1, name) + message(2, message(kind, message(1, value))))


def record(data: bytes) -> bytes:
    """Frames data as one record of a TFRecord file."""
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def message(field: int, payload: bytes) -> bytes:
    """Encodes a length-delimited field of a protobuf message: a string, bytes or a message."""
    return bytes([field << 3 | 2]) + _varint(len(payload)) + payload


def number(field: int, value: int) -> bytes:
    """Encodes a field of a protobuf message that is a whole number from 0."""
    return bytes([field << 3]) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)
