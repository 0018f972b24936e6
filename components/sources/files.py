"""The files that an address names, wherever they lie, and their bytes, also out of gzip."""

import gzip
import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import IO

from pyarrow import NativeFile, fs

from components.config import Reading
from components.shared.addresses import BUCKETS, joined, redacted
from components.shared.days import DATE, days_until
from components.shared.errors import StepError, explain
from components.sources import sniff
from components.sources.buckets import explain_bucket, scheme_of
from components.sources.fake import SCHEME, open_fake
from components.sources.filesystem import (
    is_pattern,
    open_filesystem,
    root_of,
    select,
    writing,
)
from components.sources.web import Download

WEB = ("https://", "http://")
SCHEMES = (SCHEME, *BUCKETS, *WEB)
PATIENCE = timedelta(seconds=10)  # with a server that is asked whether something is there
CHUNK = 1 << 20  # bytes
# How much a gzip may unpack to: so many times its size, or so many bytes.
RATIO, ALWAYS = 200, 100 << 20

# The names that a web server, which does not list its files, is asked for.
_PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_FORMS = ("{part}-idx{n}-ubyte.gz", "{part}-idx{n}-ubyte", "{part}.idx{n}-ubyte")
SUMS = ("MD5SUMS", "SHA256SUMS")


class NothingThereError(StepError):
    """A place is there, and no file in it."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a source."""

    filesystem: fs.FileSystem
    path: str  # there
    root: str  # of the directory that the source names
    size: int  # bytes
    address: str = ""  # as it may be shown, of a file that was fetched from elsewhere
    within: str = ""  # its path in the source's directory, where it was put elsewhere
    version: str = ""  # what :func:`version_of` said when it was found; empty: nobody changes it

    @property
    def name(self) -> str:
        """What the user calls it, for messages."""
        return self.address or scheme_of(self.filesystem) + self.path

    @property
    def relpath(self) -> str:
        """Its path in the directory that the source names."""
        if self.within:
            return self.within
        if self.address:
            return self.address.removesuffix("?…").rpartition("/")[2]
        return self.path[len(self.root) :].lstrip("/")

    @property
    def basename(self) -> str:
        """The last part of its path."""
        return self.relpath.rpartition("/")[2]

    def open(self) -> NativeFile:
        """Opens it to be read at any place.

        Raises:
            StepError: It is not the file that was found any more.
        """
        return self._checked(self.filesystem.open_input_file(self.path))

    def open_stream(self, buffer_size: int | None = None) -> NativeFile:
        """Opens it to be read from its start, as it lies there.

        Raises:
            StepError: It is not the file that was found any more.
        """
        return self._checked(
            self.filesystem.open_input_stream(self.path, compression=None, buffer_size=buffer_size)
        )

    def _checked(self, opened: NativeFile) -> NativeFile:
        if self.version and self.version != version_of(self.filesystem, self.path):
            opened.close()
            raise StepError(f"{self.name}: it changed while it was read; run again")
        return opened

    def head(self, size: int = sniff.HEAD) -> bytes:
        """Its first bytes."""
        with self.open() as file:
            return file.read_at(size, 0)

    def unpacked_head(self) -> bytes:
        """Its first bytes, unpacked if it is gzip."""
        first = self.head()
        return sniff.unpacked_head(first) if sniff.format_of(first) == sniff.GZIP else first

    @property
    def is_gzip(self) -> bool:
        """Whether it is packed, whatever its name says."""
        return sniff.format_of(self.head(4)) == sniff.GZIP

    @property
    def is_for_workers(self) -> bool:
        """Whether every worker can read it at any place, as it lies there."""
        return not self.address and not self.is_gzip


@dataclass(frozen=True)
class Offsets:
    """Where the records of a file start whose lengths differ, so that workers read ranges of them.

    A block is of equally many records, but for the last.
    """

    file: File
    every: int  # records a block
    starts: tuple[int, ...]  # the first byte of each block, and the end of the last
    records: int
    sha256: str  # of the file

    @property
    def digest(self) -> str:
        """Identifies the file by its content and its name."""
        return f"{self.sha256}  {self.file.basename}"

    def read(self, start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
        """Reads the blocks that records start … stop - 1 are in.

        Yields:
            Which records of the block are wanted, from and to, and the block's bytes.
        """
        with self.file.open() as opened:
            for block in range(start // self.every, -(-stop // self.every)):
                low, high = self.starts[block], self.starts[block + 1]
                data = opened.read_at(high - low, low)
                if len(data) != high - low:
                    raise StepError(f"{self.file.name}: it changed while it was read")
                first = block * self.every
                yield max(start - first, 0), min(stop - first, self.every), data


def version_of(filesystem: fs.FileSystem, path: str) -> str:
    """What changes with a file: its size and the time of its last change; on disk its inode, too.

    Empty where there is no such file.
    """
    if isinstance(filesystem, fs.LocalFileSystem):
        try:
            found = Path(path).stat()
        except OSError:
            return ""
        return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"
    info = filesystem.get_file_info(path)
    return _version_in_bucket(filesystem, info) if info.is_file else ""


def _version_in_bucket(filesystem: fs.FileSystem, info: fs.FileInfo) -> str:
    # An S3 server says whole seconds of one file, and may say more in a list.
    seconds = info.mtime_ns // 10**9 if scheme_of(filesystem) == "s3://" else info.mtime_ns
    return f"{info.size} {seconds}"


def check_scheme(source: str) -> None:
    """Sees that an address is of a kind that can be read.

    Raises:
        StepError: It is not.
    """
    scheme, separator, _ = source.partition("://")
    if separator and f"{scheme}://" not in SCHEMES:
        raise StepError(f"{source}: expected a path, or an address with {', '.join(SCHEMES)}")


def check_exists(source: str) -> None:
    """Looks whether an address names something, in seconds and before anything is made of it.

    Whether that can be read, only ingest finds out.

    Args:
        source: As ingest takes it.

    Raises:
        StepError: Nothing is there, nothing can be of such an address, or the server that would
            know does not answer.
        OSError: This user may not look there.
    """
    if Path(source).exists():
        return
    for part in _parts(source):
        check_scheme(part)
        if part.startswith(SCHEME):
            open_fake(part)
        elif not _exists(part):
            raise StepError(f"{part}: not found, expected a directory or a file with images")


def _exists(address: str) -> bool:
    """Whether an address names something, found without listing or fetching it.

    Of a pattern, that is the directory above; of a directory on the web, its training images.
    """
    if Path(address).exists():
        return True
    if address.startswith(WEB):
        has = Download("").has
        return has(address, PATIENCE) or any(
            has(joined(address, name), PATIENCE) for name in _names(_PARTS[0])
        )
    filesystem, path = open_filesystem(address, PATIENCE / 2)  # a bucket is asked twice
    root = root_of(path)
    try:
        return not root or filesystem.get_file_info(root).type != fs.FileType.NotFound
    except OSError as error:  # pyarrow raises it for whatever a bucket answers
        raise StepError(f"{address}: {explain_bucket(error)}") from None


def find(config: Reading, source: str) -> list[File]:
    """Lists the files that an address names, in order, without hidden and temporary ones.

    Args:
        config: Which days, and where the cache is.
        source: A file, a directory, a pattern, or several of these with commas between.

    Raises:
        StepError: There is none, or nothing can be of such an address.
    """
    parts = _parts(source)
    for part in parts:
        check_scheme(part)
    return [file for part in parts for file in _named(config, part, alone=len(parts) == 1)]


def fetched(file: File, cache: str) -> File:
    """Returns a file, from the cache on disk if it is in a bucket."""
    if not file.name.startswith(BUCKETS):
        return file
    path = Download(cache)(file.name)
    if path is None:
        raise StepError(f"{file.name}: not found any more")
    return replace(_fetched(path, file.name), within=file.relpath)


def chunks(file: File, published: dict[str, str] | None = None) -> Iterator[bytes]:
    """Yields a file's bytes, unpacked; checks them against published sums when it is through.

    Args:
        file: Plain or gzip.
        published: MD5 or SHA-256 sums by the name of a file, as it lies there or as it is unpacked.

    Raises:
        StepError: It is damaged, or differs from its published sum.
    """
    sums, name = published or {}, file.basename
    if name in sums and name.endswith(".gz"):  # made over the file as it lies there
        with file.open_stream() as raw:
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
    packed = file.is_gzip
    try:
        with file.open_stream() as raw:
            yield gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[misc]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StepError(
            f"{file.name}: damaged gzip ({error}); expected a whole .gz file, fetch it again"
        ) from None


def for_workers(file: File, target: fs.FileSystem, path: str) -> File:
    """Returns a file that every worker can read at any place: unpacked, and not on this disk only.

    Args:
        file: Plain or gzip.
        target: Where what has to be unpacked or copied is put.
        path: Its path there.

    Raises:
        StepError: It is damaged, or a gzip that holds next to nothing many times over.
    """
    if file.is_for_workers:
        return file
    size = 0
    with stream(file) as opened, writing(target, path) as out:
        while chunk := opened.read(CHUNK):
            size += len(chunk)
            if size > max(ALWAYS, file.size * RATIO):
                raise StepError(
                    f"{file.name}: a gzip that unpacks to more than {RATIO} times its "
                    f"{file.size:,} bytes, which no data does; unpack it first"
                )
            out.write(chunk)
    return File(target, path, "", size, file.name, file.relpath)


@contextmanager
def opened_zip(file: File) -> Iterator[zipfile.ZipFile]:
    """Opens a zip; what the standard library raises for a damaged one becomes StepError."""
    try:
        with file.open() as opened, zipfile.ZipFile(opened) as packed:
            yield packed
    except (
        zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError,
        KeyError, IndexError, OverflowError,
    ) as error:  # fmt: skip
        reason = explain(error)[:200]
        raise StepError(f"{file.name}: damaged zip ({reason}); fetch it again") from None


def _parts(source: str) -> list[str]:
    """The addresses of a list with commas; a path that is there may have commas in its name."""
    if "," not in source or Path(source).exists():
        return [source]
    return [part.strip() for part in source.split(",")]


def _fetched(path: Path, address: str) -> File:
    disk = fs.LocalFileSystem()
    size, version = path.stat().st_size, version_of(disk, str(path))
    return File(disk, str(path), "", size, redacted(address), version=version)


def _named(config: Reading, source: str, alone: bool) -> list[File]:
    if source.startswith(WEB):
        return _on_the_web(source, Download(config.cache))
    filesystem, path = open_filesystem(source)
    days = days_until(config.span, config.until) if DATE in path else None
    if is_pattern(path):
        root, found = select(filesystem, path, days)
        within = f" from {days[0]} to {days[1]}" if days else ""
        if not found:
            raise NothingThereError(
                f"{source}: no files{within}; expected some to match the pattern"
            )
        return [_found(filesystem, info, root) for info in found]
    info = filesystem.get_file_info(path)
    parent = path.rpartition("/")[0]
    if info.is_file:
        return [_found(filesystem, info, parent)]
    if info.type != fs.FileType.Directory:
        raise StepError(f"{source}: not found, expected a directory or a file with images")
    root, found = select(filesystem, f"{path}/**/*", None)
    if not found:
        raise NothingThereError(f"{source}: no files, expected some with images")
    root = root if alone else parent
    return [_found(filesystem, info, root) for info in found]


def _found(filesystem: fs.FileSystem, info: fs.FileInfo, root: str) -> File:
    if isinstance(filesystem, fs.LocalFileSystem):
        version = version_of(filesystem, info.path)
    else:  # what it says is what a request for it alone would say
        version = _version_in_bucket(filesystem, info)
    return File(filesystem, info.path, root, info.size, version=version)


def _on_the_web(address: str, download: Download) -> list[File]:
    """A file, or the IDX files of a directory; an address that ends as a file is tried as one."""
    is_file = "." in redacted(address).removesuffix("?…").partition("//")[2].partition("/")[2]
    for attempt in (_one, _idx) if is_file else (_idx, _one):
        if found := attempt(address, download):
            return found
    forms = " or ".join(form.format(part=_PARTS[0], n=3) for form in _FORMS)
    raise StepError(f"{address}: not found, neither as a file nor as a directory with {forms}")


def _one(address: str, download: Download) -> list[File]:
    path = download(address)
    return [_fetched(path, address)] if path else []


def _idx(directory: str, download: Download) -> list[File]:
    found: list[File] = []
    for part in _PARTS:
        names = _names(part)
        # Those who publish under one form of the names use it for all.
        names.sort(key=lambda name: not found or _ending(name) != _ending(found[0].relpath))
        addresses = (joined(directory, name) for name in names)
        files = next(filter(None, (_one(address, download) for address in addresses)), None)
        if not files and not found:
            return []
        found += files or []
    sums = (_one(joined(directory, name), download) for name in SUMS)
    return found + next(filter(None, sums), [])


def _names(part: str) -> list[str]:
    return [form.format(part=part, n=3 if "images" in part else 1) for form in _FORMS]


def _ending(name: str) -> str:
    return name.rpartition("-ubyte")[2] + ("dot" if ".idx" in name else "")


def _compare(file: File, what: str, found: str, expected: str) -> None:
    if found != expected:
        raise StepError(
            f"{file.name}: {_digest(expected).name.upper()} of {what} is {found}, expected the "
            f"published {expected}; fetch it again"
        )


def _digest(expected: str) -> "hashlib._Hash":
    """What a published sum of that length is made with."""
    return hashlib.new("md5" if len(expected) == 32 else "sha256", usedforsecurity=False)
