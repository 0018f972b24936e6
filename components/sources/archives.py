"""Files in a zip or a tar: listed once, then each read from its place in the archive."""

import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from components.shared.errors import StepError, log_line
from components.sources import content
from components.sources.locate import File
from components.sources.npz import opened_zip
from components.sources.selection import is_no_data
from components.sources.source import UnreadableError

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
NO_SUM = -1  # a tar has none
LARGEST = 64 << 20  # bytes of a file in an archive; a picture of 4,096 x 4,096 has fewer
ENCRYPTED = 0x1  # a flag of the zip format
_LOCAL = struct.Struct("<4s22xHH")  # the start of a local header: signature, lengths of name, extra


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive, or one that lies by itself."""

    archive: File
    place: int  # of the archive among those of the source; -1: this is a file by itself
    below: str  # its path below the directory that the source names
    size: int  # bytes
    offset: int = 0  # in the archive: of its header in a zip, of its content in a tar
    packed: int = 0  # bytes in the archive
    method: int = STORED
    crc: int = NO_SUM

    def head(self, size: int = content.HEAD) -> bytes:
        """Its first bytes, or none where it cannot be read."""
        try:
            with self.archive.filesystem.open_input_file(self.archive.path) as file:
                return read(file, self)[:size]
        except UnreadableError:
            return b""


def members(archive: File, place: int, kind: str, prefix: str) -> list[Member]:
    """Lists the files in an archive, without hidden ones.

    Args:
        archive: The archive.
        place: Among those of the source.
        kind: Whether it is a zip or a tar.
        prefix: Of the paths of its files.

    Raises:
        StepError: It is damaged.
    """
    listed = _in_zip if kind == content.ZIP else _in_tar
    return [one for one in listed(archive, place, prefix) if not is_no_data(one.below)]


def read(file: IO[bytes], member: Member) -> bytes:
    """Reads one file from an opened archive.

    Raises:
        UnreadableError: It is damaged, or packed in a way that is not read here.
    """
    if member.size > LARGEST:
        raise UnreadableError(f"{member.size:,} bytes, expected {LARGEST:,} at most")
    start = member.offset
    if member.crc != NO_SUM:
        signature, name, extra = _LOCAL.unpack(_exactly(file, start, _LOCAL.size))
        if signature != b"PK\x03\x04":
            raise UnreadableError("damaged zip (no header at its place)")
        start += _LOCAL.size + name + extra
    data = _exactly(file, start, member.packed)
    if member.method == DEFLATED:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
        except zlib.error as error:
            raise UnreadableError(f"damaged zip ({error})") from None
    elif member.method != STORED:
        raise UnreadableError(f"packed by method {member.method}, expected a zip that deflates")
    if len(data) != member.size or member.crc not in (NO_SUM, zlib.crc32(data)):
        raise UnreadableError("damaged zip (its checksum or size differs)")
    return data


def _exactly(file: IO[bytes], start: int, size: int) -> bytes:
    file.seek(start)
    data: bytes = file.read(size)
    if len(data) != size:
        raise UnreadableError("the archive ends within it")
    return data


def _in_zip(archive: File, place: int, prefix: str) -> Iterator[Member]:
    with opened_zip(archive) as packed:
        for info in packed.infolist():
            if info.is_dir():
                continue
            if info.flag_bits & ENCRYPTED:
                raise StepError(f"{archive.name}: {info.filename} is encrypted; unpack it first")
            yield Member(
                archive, place, prefix + info.filename, info.file_size, info.header_offset,
                info.compress_size, info.compress_type, info.CRC,
            )  # fmt: skip


def _in_tar(archive: File, place: int, prefix: str) -> Iterator[Member]:
    try:
        with (
            archive.filesystem.open_input_file(archive.path) as file,
            tarfile.open(fileobj=file, mode="r:") as packed,
        ):
            for info in packed:
                if info.islnk() or info.issym() or info.issparse():
                    log_line(f"Left out {archive.name}, {info.name}: a link, or with holes")
                elif info.isreg():
                    name = prefix + info.name.removeprefix("./")
                    yield Member(
                        archive, place, name, info.size, info.offset_data, packed=info.size
                    )
                packed.members = []  # type: ignore[attr-defined]  # it would keep all of them
    except (tarfile.TarError, ValueError, OverflowError, EOFError, IndexError) as error:
        raise StepError(f"{archive.name}: damaged tar ({error}); fetch it again") from None


def prefix_of(archive: File) -> str:
    """What the archive's own name says of its files, among several: the split maybe."""
    name = archive.below
    for ending in (".gz", ".zip", ".tar", ".tgz"):
        name = name.removesuffix(ending)
    return f"{name}/"
