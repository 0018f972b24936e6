"""What a file is, by its first bytes: a name says what somebody thought."""

import re
import struct
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath
from typing import Protocol, TypeVar

import google_crc32c

from components.shared.errors import listed, log_line

HEAD = 4_096  # of a file's first bytes, which say what it is

PARQUET, GZIP, ZIP, TAR = "Parquet", "gzip", "zip", "tar"
IDX, NPZ, NPY, TFRECORD, CSV, PICTURE = "IDX", ".npz", ".npy", "TFRecord", "CSV", "pictures"
ARROW = "Arrow"
OTHER = "other"

_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
_STARTS = {
    b"PAR1": PARQUET,
    b"\xff\xff\xff\xff": ARROW,  # a stream: the mark of a message, then its length
    b"\x93NUMPY": NPY,
    b"\x1f\x8b": GZIP,
    b"PK\x03\x04": ZIP,
    b"PK\x05\x06": ZIP,
    **dict.fromkeys(_PICTURES, PICTURE),
}
_NAMES = {
    r"idx\d-(ubyte|int)$|\.idx\d?$": IDX,
    r"\.npz$": NPZ,
    r"\.npy$": NPY,
    r"\.arrow$": ARROW,
    r"\.parquet$": PARQUET,
    r"\.csv$": CSV,
    r"\.tfrecords?\b": TFRECORD,
    r"\.(png|jpe?g|webp|bmp|gif|tiff?)$": PICTURE,
    r"\.zip$": ZIP,
    r"\.(tar|tgz)$": TAR,
}
# A first line of several cells without blanks, the last one cut off maybe: not a sentence.
_CELLS = re.compile(rb"[\w.\"'+-]*(,[\w.\"'+-]*)+\r?(\n|$)", re.ASCII)
_ALIKE = 8  # files of one suffix; where they are all of one format, the others are taken to be too
_DOCUMENTS = {"", ".md", ".txt", ".json", ".html", ".pdf", ".rst", ".py", ".yaml", ".yml", ".lock"}


class NamedFile(Protocol):
    """A file, wherever it lies."""

    @property
    def relpath(self) -> str:
        """Its path in the directory that the source names."""


Some = TypeVar("Some", bound=NamedFile)


def format_of(head: bytes) -> str:
    """Returns the format of a file by its first bytes, up to HEAD of them."""
    for start, format_ in _STARTS.items():
        if head.startswith(start):
            return format_
    if is_picture(head):
        return PICTURE
    if is_tfrecord(head):
        return TFRECORD
    if head[257:262] == b"ustar":
        return TAR
    if head[:2] == b"\0\0" and len(head) >= 4 and 0x08 <= head[2] <= 0x0E and 1 <= head[3] <= 4:
        return IDX
    return CSV if _CELLS.match(head.removeprefix(b"\xef\xbb\xbf")) else OTHER


def format_by_name(name: str) -> str:
    """Returns the format that a file's name promises: asked only where its content says nothing."""
    name = name.lower().removesuffix(".gz")
    return next((form for pattern, form in _NAMES.items() if re.search(pattern, name)), OTHER)


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


def by_format(files: Iterable[Some], format_in: Callable[[Some], str]) -> dict[str, list[Some]]:
    """Sorts files by format: by their content; by their names where the content says nothing.

    Args:
        files: The files.
        format_in: Looks into one.
    """
    of_suffix: dict[str, list[Some]] = defaultdict(list)
    for file in files:
        of_suffix[_suffix(file.relpath)].append(file)
    found: dict[str, list[Some]] = defaultdict(list)
    for alike in of_suffix.values():
        formats = [_format(file, format_in) for file in alike[:_ALIKE]]
        if len(set(formats)) > 1:
            formats += [_format(file, format_in) for file in alike[_ALIKE:]]
        formats += formats[:1] * (len(alike) - len(formats))
        for format_, file in zip(formats, alike, strict=True):
            found[format_].append(file)
    return {name: sorted(some, key=lambda file: file.relpath) for name, some in found.items()}


def log_left_out(other_files: Sequence[NamedFile]) -> None:
    """Logs which files hold no images, but for documents, from which nobody expects any."""
    names = [file.relpath for file in other_files]
    names = [name for name in names if PurePath(name).suffix.lower() not in _DOCUMENTS]
    if names:
        log_line(f"Left out, since no images are in it: {listed(names)}")


def _suffix(relpath: str) -> str:
    """What the names of files of one format have in common: a suffix, with any numbers in it."""
    path = PurePath(relpath)
    packed = path.suffix.lower() == ".gz"
    suffix = path.with_suffix("").suffix + ".gz" if packed else path.suffix
    return re.sub(r"\d+", "0", suffix.lower())


def _format(file: Some, format_in: Callable[[Some], str]) -> str:
    found = format_in(file)
    if found != OTHER:
        return found
    return format_by_name(file.relpath)
