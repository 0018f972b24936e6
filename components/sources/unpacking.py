"""The bytes of a file, unpacked if its content is gzip, whatever its name says."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO

from pyarrow import fs

from components.shared.errors import StepError
from components.sources import content
from components.sources.filesystem import writing
from components.sources.locate import File

CHUNK = 1 << 20  # bytes
# How much a gzip may unpack to: so many times its size, or so many bytes.
RATIO, ALWAYS = 200, 100 << 20


def chunks(file: File, published: dict[str, str] | None = None) -> Iterator[bytes]:
    """Yields a file's bytes, unpacked; checks them against published sums when it is through.

    Args:
        file: Plain or gzip.
        published: MD5 or SHA-256 sums by the name of a file, as it lies there or as it is unpacked.

    Raises:
        StepError: It is damaged, or differs from its published sum.
    """
    sums, name = published or {}, file.below.rpartition("/")[2]
    if name in sums and name.endswith(".gz"):  # made over the file as it lies there
        with file.filesystem.open_input_stream(file.path, compression=None) as raw:
            found = hashlib.file_digest(raw, partial(_digest, sums[name])).hexdigest()
        _compare(file, "the file", found, sums[name])
    expected = sums.get(name.removesuffix(".gz"))
    digest = _digest(expected) if expected else None
    with stream(file) as opened:
        while chunk := opened.read(CHUNK):
            if digest:
                digest.update(chunk)
            yield chunk
    if digest and expected:
        _compare(file, "the unpacked file", digest.hexdigest(), expected)


@contextmanager
def stream(file: File) -> Iterator[IO[bytes]]:
    """Opens a file to be read from its start, unpacked if it is gzip.

    Raises:
        StepError: It is damaged; also from within the block.
    """
    packed = content.kind_of(file.head(4)) == content.GZIP
    try:
        with file.filesystem.open_input_stream(file.path, compression=None) as raw:
            yield gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[misc]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StepError(
            f"{file.name}: damaged gzip ({error}); expected a whole .gz file, fetch it again"
        ) from None


def for_workers(file: File, target: fs.FileSystem, place: str) -> File:
    """Returns a file that every worker can read at any place: unpacked, and not on this disk only.

    Args:
        file: Plain or gzip.
        target: Where what has to be unpacked or copied is put.
        place: Its path there.

    Raises:
        StepError: It is damaged, or a gzip that holds next to nothing many times over.
    """
    if is_for_workers(file):
        return file
    size = 0
    with stream(file) as opened, writing(target, place) as out:
        while chunk := opened.read(CHUNK):
            size += len(chunk)
            if size > max(ALWAYS, file.size * RATIO):
                raise StepError(
                    f"{file.name}: a gzip that unpacks to more than {RATIO} times its "
                    f"{file.size:,} bytes, which no data does; unpack it first"
                )
            out.write(chunk)
    return File(target, place, "", size, file.name, file.below)


def is_for_workers(file: File) -> bool:
    """Whether every worker can read a file at any place, as it lies there."""
    return not file.address and content.kind_of(file.head(4)) != content.GZIP


def head(file: File) -> bytes:
    """A file's first bytes, unpacked if it is gzip."""
    first = file.head()
    return content.unpacked_head(first) if content.kind_of(first) == content.GZIP else first


def _compare(file: File, what: str, found: str, expected: str) -> None:
    if found != expected:
        raise StepError(
            f"{file.name}: {_digest(expected).name.upper()} of {what} is {found}, expected the "
            f"published {expected}; fetch it again"
        )


def _digest(expected: str) -> "hashlib._Hash":
    """What a published sum of that length is made with."""
    return hashlib.new("md5" if len(expected) == 32 else "sha256", usedforsecurity=False)
