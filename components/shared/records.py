"""The record format: a digit as a ``tf.train.Example`` in a TFRecord file, without TensorFlow.

Every record is ``image`` (bytes, 28·28 uint8, row-major, 0 = background) and ``label`` (int64,
0 to 9).
The bytes are those of TensorFlow's own writer, so any TFRecord reader takes them.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details".
"""

import struct

import google_crc32c
import numpy as np
import numpy.typing as npt

IMAGE_SHAPE = (28, 28)
PIXELS = 28 * 28
CLASSES = 10

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]


def encode(images: Images, labels: Labels) -> bytes:
    """Encodes digits as the content of a TFRecord file.

    All records have one length, so everything but pixels, label and checksum is written once for
    the whole shard.

    Args:
        images: uint8 ``[n, 28, 28]``.
        labels: uint8 ``[n]``, each 0 to 9.

    Returns:
        The records, back to back, in the order given.
    """
    table = np.empty((len(images), _RECORD), np.uint8)
    table[:] = _TEMPLATE
    table[:, _IMAGE] = images.reshape(len(images), PIXELS)
    table[:, _LABEL] = labels
    checksums = [_masked_crc(row.tobytes()) for row in table[:, _DATA]]
    table[:, _CHECKSUM] = np.frombuffer(b"".join(checksums), np.uint8).reshape(-1, 4)
    return table.tobytes()


def decode(data: bytes) -> tuple[Images, Labels]:
    """Decodes what :func:`encode` gave, or the start of it.

    Args:
        data: Records back to back; what is left over of a last one is ignored.

    Returns:
        images: uint8 ``[n, 28, 28]``.
        labels: uint8 ``[n]``.
    """
    count = len(data) // _RECORD
    table = np.frombuffer(data, np.uint8, count * _RECORD).reshape(count, _RECORD)
    return table[:, _IMAGE].reshape(count, *IMAGE_SHAPE), table[:, _LABEL]


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


def _message(field: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field."""
    length, size = b"", len(payload)
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([field << 3 | 2]) + length + bytes([size]) + payload


def _entry(name: bytes, kind: int, value: bytes) -> bytes:
    """An entry of ``Features.feature``; kind is the field number of the list in ``Feature``."""
    return _message(1, _message(1, name) + _message(2, _message(kind, _message(1, value))))


_BYTES_LIST, _INT64_LIST = 1, 3
_LABEL_ENTRY = _entry(b"label", _INT64_LIST, bytes(1))
_EXAMPLE = _message(1, _entry(b"image", _BYTES_LIST, bytes(PIXELS)) + _LABEL_ENTRY)
_LENGTH = struct.pack("<Q", len(_EXAMPLE))
_HEADER = _LENGTH + _masked_crc(_LENGTH)
_TEMPLATE = np.frombuffer(_HEADER + _EXAMPLE + bytes(4), np.uint8)
_RECORD = len(_TEMPLATE)

_DATA = slice(len(_HEADER), _RECORD - 4)
_CHECKSUM = slice(_RECORD - 4, _RECORD)
_LABEL = _DATA.stop - 1
_IMAGE = slice(_LABEL + 1 - len(_LABEL_ENTRY) - PIXELS, _LABEL + 1 - len(_LABEL_ENTRY))
