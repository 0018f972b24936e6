"""The IDX file format, as MNIST is published in it.

Source: http://yann.lecun.com/exdb/mnist, "THE IDX FILE FORMAT".
"""

import struct

from components.shared.errors import StepError
from components.sources.arrays import Header

# By the header's third byte; numbers are written with the high byte first.
DTYPES = {0x08: "|u1", 0x09: "|i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def parse(head: bytes, name: str) -> Header:
    """Reads the header of an IDX file.

    Args:
        head: The file's first bytes.
        name: What the user calls it, for messages.

    Raises:
        StepError: This is no such header.
    """
    magic = int.from_bytes(head[:4], "big")
    if len(head) < 4:
        raise StepError(f"{name}: {len(head)} bytes, expected an IDX header of 8 at least")
    if magic >> 8 not in DTYPES or not 1 <= magic & 0xFF <= 4:
        raise StepError(
            f"{name}: magic number {magic}, expected 2051 for images or 2049 for labels "
            "(IDX, unsigned bytes)"
        )
    dimensions = magic & 0xFF
    offset = 4 + 4 * dimensions
    if len(head) < offset:
        raise StepError(f"{name}: {len(head)} bytes, expected an IDX header of {offset}")
    return Header(offset, struct.unpack(f">{dimensions}I", head[4:offset]), DTYPES[magic >> 8])
