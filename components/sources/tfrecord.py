"""TFRecord files: where their records start, and the bytes of each.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details".
"""

import hashlib
import struct
from collections.abc import Iterator

from components.shared.errors import StepError
from components.sources import content
from components.sources.blocks import Blocks
from components.sources.locate import File
from components.sources.source import UnreadableError

HEADER, FOOTER = 12, 4  # bytes: length and its checksum; checksum of the data
EVERY = 256  # records a block
LONGEST = 64 << 20  # bytes of a record
BUFFER = 1 << 20


def blocks_of(file: File) -> Blocks:
    """Finds where records start, by the length of each.

    Args:
        file: A plain TFRecord file.

    Raises:
        StepError: It is damaged or cut short.
    """
    digest = hashlib.sha256()
    starts, records, place = [0], 0, 0
    with file.filesystem.open_input_stream(
        file.path, compression=None, buffer_size=BUFFER
    ) as opened:
        while header := opened.read(HEADER):
            size = _length(header)
            if size is None or size > LONGEST:
                raise StepError(f"{file.name}: damaged TFRecord at byte {place}; fetch it again")
            rest = opened.read(size + FOOTER)
            if len(rest) != size + FOOTER:
                raise StepError(f"{file.name}: ends within record {records}; fetch it again")
            digest.update(header)
            digest.update(rest)
            records += 1
            place += HEADER + len(rest)
            if records % EVERY == 0:
                starts.append(place)
    if starts[-1] != place:
        starts.append(place)
    return Blocks(file, EVERY, tuple(starts), records, digest.hexdigest())


def records_of(data: bytes) -> Iterator[bytes | UnreadableError]:
    """The records of a block; one whose checksum differs is an error in its place."""
    place = 0
    while place < len(data):
        size = _length(data[place : place + HEADER])
        if size is None:
            raise StepError(f"damaged TFRecord at byte {place} of a block; it changed meanwhile")
        start, end = place + HEADER, place + HEADER + size
        record, footer = data[start:end], data[end : end + FOOTER]
        if footer != struct.pack("<I", content.masked_crc(record)):
            yield UnreadableError("damaged record (its checksum differs)")
        else:
            yield record
        place = end + FOOTER


def _length(header: bytes) -> int | None:
    if not content.is_tfrecord(header):
        return None
    length: int = struct.unpack_from("<Q", header)[0]
    return length
