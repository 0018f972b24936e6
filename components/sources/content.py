"""What a file is, by its first bytes: a name says what somebody thought."""

import re
import struct
import zlib

import google_crc32c

# How many of a file's first bytes tell what it is.
HEAD = 4_096

PARQUET, GZIP, ZIP, TAR = "Parquet", "gzip", "zip", "tar"
IDX, NPZ, TFRECORD, CSV, PICTURE = "IDX", ".npz", "TFRecord", "CSV", "pictures"
OTHER = "other"

_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
_STARTS = {
    b"PAR1": PARQUET,
    b"\x1f\x8b": GZIP,
    b"PK\x03\x04": ZIP,
    b"PK\x05\x06": ZIP,
    **dict.fromkeys(_PICTURES, PICTURE),
}


def kind_of(head: bytes) -> str:
    """Tells what a file is from its first bytes, up to HEAD of them."""
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    if is_picture(head):
        return PICTURE
    if is_tfrecord(head):
        return TFRECORD
    if head[257:262] == b"ustar":
        return TAR
    if head[:2] == b"\0\0" and len(head) >= 4 and 0x08 <= head[2] <= 0x0E and 1 <= head[3] <= 4:
        return IDX
    return CSV if _is_csv(head) else OTHER


def promised_by(name: str) -> str:
    """What a file would be by its name: asked only where its content says nothing."""
    for pattern, kind in _PROMISES.items():
        if re.search(pattern, name.lower().removesuffix(".gz")):
            return kind
    return OTHER


def is_picture(head: bytes) -> bool:
    """Whether this is the start of an encoded image: PNG, JPEG, WebP, BMP, GIF or TIFF."""
    if head.startswith(_PICTURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    return head[:2] == b"BM" and len(head) >= 14 and head[6:10] == bytes(4)


def is_tfrecord(head: bytes) -> bool:
    """Whether this starts with a record's length and its right checksum."""
    return len(head) >= 12 and struct.unpack("<I", head[8:12])[0] == masked_crc(head[:8])


def masked_crc(data: bytes) -> int:
    """TFRecord's checksum.

    Source: https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details".
    """
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def unpacked_head(head: bytes) -> bytes:
    """The first bytes of what a gzip holds, as far as its own first bytes give them."""
    try:
        return zlib.decompressobj(31).decompress(head, HEAD)
    except zlib.error:
        return b""


_PROMISES = {
    r"idx\d-(ubyte|int)$|\.idx\d?$": IDX,
    r"\.npz$": NPZ,
    r"\.parquet$": PARQUET,
    r"\.csv$": CSV,
    r"\.tfrecords?\b": TFRECORD,
    r"\.(png|jpe?g|webp|bmp|gif|tiff?)$": PICTURE,
    r"\.zip$": ZIP,
    r"\.(tar|tgz)$": TAR,
}
# A first line of several cells without blanks, the last one cut off maybe: no sentence.
_CELLS = re.compile(rb"[\w.\"'+-]*(,[\w.\"'+-]*)+\r?(\n|$)", re.ASCII)


def _is_csv(head: bytes) -> bool:
    return _CELLS.match(head.removeprefix(b"\xef\xbb\xbf")) is not None
