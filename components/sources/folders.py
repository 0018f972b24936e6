"""Pictures in a folder a class: on disk, in a bucket, or in a zip or tar.

They are listed once, in an index that workers read ranges of; then each is read from its place.
"""

import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b, sha256
from itertools import groupby
from typing import IO

import numpy as np
import pyarrow as pa
from pyarrow import fs

from components.config import Ingest, Reading
from components.shared.errors import StepError, listed, log_line
from components.sources import files, labels, sniff
from components.sources.buckets import is_bucket
from components.sources.files import File
from components.sources.filesystem import is_hidden, writing
from components.sources.images import StoredImage, UnreadableError
from components.sources.label_tables import (
    SUFFIXES,
    WEBDATASET,
    PictureLabel,
    Readable,
    find_labels,
)
from components.sources.labels import Classes
from components.sources.source import Opened, Raw, Reader, ReadOptions
from components.sources.splits import ORDER, split_of

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
NO_SUM = -1  # a tar has none
LARGEST = 64 << 20  # bytes of a file in an archive; a picture of 4,096 x 4,096 has fewer
ENCRYPTED = 0x1  # a flag of the zip format
BATCH_LIMIT = 512  # pictures read before they are decoded
REQUESTS = 16  # at a time, to a bucket
INDEX_BATCH = 4_096  # rows
INDEX = pa.schema(
    {
        "relpath": pa.string(),
        "label": pa.int32(),
        "place": pa.int32(),
        "size": pa.int64(),
        "offset": pa.int64(),
        "packed": pa.int64(),
        "method": pa.int32(),
        "crc": pa.int64(),
        "version": pa.string(),
    }
)
_LOCAL = struct.Struct("<4s22xHH")  # the start of a local header: signature, lengths of name, extra


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive, or one that lies by itself."""

    archive: File
    place: int  # of the archive among those of the source; -1: this is a file by itself
    relpath: str  # its path in the directory that the source names
    size: int  # bytes
    offset: int = 0  # in the archive: of its header in a zip, of its content in a tar
    packed: int = 0  # bytes in the archive
    method: int = STORED
    crc: int = NO_SUM

    @property
    def version(self) -> str:
        """That of the file, where it lies by itself."""
        return self.archive.version if self.place < 0 else ""

    @property
    def name(self) -> str:
        """What the user calls it."""
        return self.archive.name if self.place < 0 else f"{self.archive.name}, {self.relpath}"

    @property
    def folder(self) -> str:
        """The name of the directory that it is in."""
        return self.relpath.rpartition("/")[0].rpartition("/")[2]

    @property
    def split(self) -> str | None:
        """The split that the directories above its folder say."""
        return split_of("/".join(self.relpath.split("/")[:-2]))

    @property
    def order(self) -> bytes:
        """A hash of the name: in that order every stretch has pictures of all classes."""
        name = self.relpath.encode("utf-8", "surrogatepass")
        return blake2b(name, digest_size=16).digest()

    def head(self, size: int = sniff.HEAD) -> bytes:
        """Its first bytes, or none where it cannot be read."""
        try:
            with self.archive.open() as file:
                return _read_member(file, self)[:size]
        except UnreadableError:
            return b""


@dataclass(frozen=True)
class Index:
    """A file of the pictures of a source and the label of each."""

    filesystem: fs.FileSystem
    path: str
    archives: dict[int, File]  # by their places; -1: any one of the pictures that lie open

    def rows(self, start: int, stop: int) -> Iterator[tuple[Member, int]]:
        """Reads rows start … stop - 1."""
        with (
            self.filesystem.open_input_file(self.path) as file,
            pa.ipc.open_file(file) as index,
        ):
            for number in range(start // INDEX_BATCH, -(-stop // INDEX_BATCH)):
                begin = number * INDEX_BATCH
                low, high = max(start - begin, 0), min(stop - begin, INDEX_BATCH)
                some = index.get_batch(number).slice(low, high - low)
                yield from map(self._row, some.to_pylist())

    def _row(self, values: dict) -> tuple[Member, int]:
        label, version = values.pop("label"), values.pop("version")
        archive = self.archives[values["place"]]
        if values["place"] < 0:
            path = f"{archive.root}/{values['relpath']}"
            size = values["size"]
            archive = File(archive.filesystem, path, archive.root, size, version=version)
        return Member(archive, **values), label


@dataclass(frozen=True, kw_only=True)
class PictureReader(Reader):
    """The pictures of one split, in the order of an index."""

    index: Index
    first: int  # row of the index
    labelled: bool

    def read(self, start: int, stop: int) -> Iterator[Raw]:
        """See :class:`~components.sources.source.Reader`."""
        for begin in range(self.first + start, self.first + stop, BATCH_LIMIT):
            rows = list(self.index.rows(begin, min(begin + BATCH_LIMIT, self.first + stop)))
            of_rows = np.array([label for _, label in rows], np.int64)
            yield Raw(contents([member for member, _ in rows]), of_rows if self.labelled else None)

    def locations(self, start: int, stop: int) -> list[str]:
        """See :class:`~components.sources.source.Reader`."""
        return [member.name for member, _ in self.index.rows(self.first + start, self.first + stop)]


def open_pictures(
    pictures: Sequence[File], other_files: Sequence[File], options: ReadOptions
) -> Opened:
    """Opens pictures that lie open.

    Raises:
        StepError: They are not in a folder a class, and no table names their labels.
    """
    members = [Member(file, -1, file.relpath, file.size) for file in pictures]
    return _opened(members, other_files, options)


def open_archives(archives: Sequence[File], _: Sequence[File], options: ReadOptions) -> Opened:
    """Opens the pictures in zips or tars; a packed tar is unpacked for the workers.

    Raises:
        StepError: One is damaged or holds something else, or its pictures are not in a folder a
            class.
    """
    source = options.config.source
    found: list[Member] = []
    for place, file in enumerate(archives):
        members = _in_zip if sniff.format_of(file.unpacked_head()) == sniff.ZIP else _in_tar
        there = files.for_workers(file, options.unpacked, f"archive-{place}")
        prefix = _prefix(file) if len(archives) > 1 else ""
        found += [one for one in members(there, place, prefix) if not is_hidden(one.relpath)]
    of_format = sniff.by_format(found, lambda member: sniff.format_of(member.head()))
    others = of_format.pop(sniff.OTHER, [])
    inside = of_format.pop(sniff.PICTURE, [])
    if inside:  # as a table of their labels, or what lies beside
        others += of_format.pop(sniff.CSV, [])
    if of_format:
        name, others = next(iter(of_format.items()))
        raise StepError(
            f"{source}: holds {name} ({others[0].relpath}), expected pictures in a folder a class; "
            "unpack it first"
        )
    if not inside:
        raise StepError(f"{source}: no pictures in it")
    return _opened(inside, others, options)


def holds_pictures(archive: File, _: ReadOptions) -> bool:
    """Whether a zip holds pictures, by their names: it may be a spreadsheet, or a model."""
    with files.opened_zip(archive) as packed:
        return any(sniff.format_by_name(name) == sniff.PICTURE for name in packed.namelist())


def contents(members: Sequence[Member]) -> Iterator[StoredImage]:
    """Reads files one after another, several at a time where each is a request to a bucket."""
    for _, group in groupby(members, key=lambda member: member.place):
        some = list(group)
        archive = some[0].archive
        if some[0].place < 0:
            threads = REQUESTS if is_bucket(archive.filesystem) else 1
            with ThreadPoolExecutor(threads) as pool:
                yield from pool.map(_read_alone, some) if threads > 1 else map(_read_alone, some)
            continue
        with archive.open() as opened:
            for member in some:
                try:
                    yield _read_member(opened, member)
                except UnreadableError as error:
                    yield error


def _opened(members: list[Member], other_files: Sequence[Readable], options: ReadOptions) -> Opened:
    config = options.config
    said: dict[str, PictureLabel] = {}
    if options.labelled:
        said = find_labels([one.relpath for one in members], other_files, config.label_column)
        without = [one.relpath for one in members if said and one.relpath not in said]
        if without and isinstance(config, Ingest):  # predict has no need of labels
            log_line(f"Left out, since no label is given for them: {listed(without)}")
            members = [one for one in members if one.relpath in said]
        texts = {path: labelled.label for path, labelled in said.items()}
        texts = texts or {one.relpath: one.folder for one in members}
        classes = _classes(members, set(texts.values()), not said, config)
        places = {name: place for place, name in enumerate(classes.names)}
        of_paths = {path: places[text] for path, text in texts.items()}
    else:
        classes, of_paths = labels.choose(config.class_names, config.source), {}
    used = (*SUFFIXES, WEBDATASET) if said else ()
    sniff.log_left_out([file for file in other_files if not file.relpath.endswith(used)])

    def split_of_member(member: Member) -> str | None:
        if not said:
            return member.split
        return said[member.relpath].split if member.relpath in said else None

    members.sort(key=lambda member: (ORDER.index(split_of_member(member)), member.order))
    of_members = [of_paths.get(member.relpath, -1) for member in members]
    index, digest = _write_index(members, of_members, options.unpacked, "pictures", bool(said))
    readers, first = [], 0
    for split, group in groupby(members, key=split_of_member):
        reader = PictureReader(
            location=f"{config.source}, {split or 'pictures of no split'}",
            split=split,
            records=len(list(group)),
            index=index,
            first=first,
            labelled=options.labelled,
        )
        readers.append(reader)
        first += reader.records
    order = "pictures are in the order of a hash of their names"
    return Opened(readers, classes, options.conversion, digest, order)


def _classes(
    members: Sequence[Member], found: set[str], by_folder: bool, config: Reading
) -> Classes:
    """The names that pictures have, in the order that is given.

    Raises:
        StepError: Pictures are not in a folder a class, or one is not among those that are given.
    """
    if by_folder:
        _check_folders(members, config.source)
    if not config.class_names:
        return labels.of_folders(found)
    chosen = Classes(labels.choose(config.class_names, config.source).names)
    if unknown := sorted(found - set(chosen.names)):
        raise StepError(
            f"--class-names: {'folders' if by_folder else 'labels'} {listed(unknown)} of "
            f"{config.source} are not among them"
        )
    return chosen


def _check_folders(members: Sequence[Member], source: str) -> None:
    depths: dict[int, str] = {}
    for member in members:
        depths.setdefault(member.relpath.count("/"), member.relpath)
    if 0 in depths:
        raise StepError(
            f"{source}: {depths[0]} is in no folder, expected a folder a class, or beside them a "
            "table of files and labels"
        )
    if len(depths) > 1:
        shallow, deep = depths[min(depths)], depths[max(depths)]
        raise StepError(
            f"{source}: {shallow} and {deep} are not equally deep, expected a folder a class and "
            "all pictures in these"
        )
    folders = {member.folder for member in members}
    if all(split_of(folder) for folder in folders):
        raise StepError(
            f"{source}: folders {listed(sorted(folders))} are named after splits, expected a "
            "folder a class in each"
        )


def _write_index(
    members: Sequence[Member],
    of_members: Sequence[int],
    target: fs.FileSystem,
    path: str,
    with_labels: bool,
) -> tuple[Index, str]:
    """Writes the index of pictures, in the order given, and sums up their names and content.

    Returns:
        The index, and the sha256 sum over their names, sizes and, in a zip, checksums; and labels,
        where the names do not say them.
    """
    digest = sha256()
    with writing(target, path) as out, pa.ipc.new_file(out, INDEX) as index:
        for begin in range(0, len(members), INDEX_BATCH):
            some = members[begin : begin + INDEX_BATCH]
            names = [name for name in INDEX.names if name != "label"]
            columns = {name: [getattr(member, name) for member in some] for name in names}
            columns["label"] = list(of_members[begin : begin + INDEX_BATCH])
            index.write_batch(pa.RecordBatch.from_pydict(columns, INDEX))
            for one, label in zip(some, columns["label"], strict=True):
                line = f"{one.crc} {one.size} {one.relpath}{f' {label}' if with_labels else ''}\n"
                digest.update(line.encode("utf-8", "replace"))
    archives = {member.place: member.archive for member in members}
    return Index(target, path, archives), digest.hexdigest()


def _in_zip(archive: File, place: int, prefix: str) -> Iterator[Member]:
    with files.opened_zip(archive) as packed:
        for info in packed.infolist():
            # Some tools of Windows write names as they are there.
            name = info.filename if "/" in info.filename else info.filename.replace("\\", "/")
            if name.endswith("/"):
                continue
            if info.flag_bits & ENCRYPTED:
                raise StepError(f"{archive.name}: {info.filename} is encrypted; unpack it first")
            yield Member(
                archive, place, prefix + name, info.file_size, info.header_offset,
                info.compress_size, info.compress_type, info.CRC,
            )  # fmt: skip


def _in_tar(archive: File, place: int, prefix: str) -> Iterator[Member]:
    try:
        with (
            archive.open() as file,
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
            _check_end(archive, file, packed.offset)
    except (tarfile.TarError, ValueError, OverflowError, EOFError, IndexError) as error:
        raise StepError(f"{archive.name}: damaged tar ({error}); fetch it again") from None


def _check_end(archive: File, file: IO[bytes], end: int) -> None:
    """Sees that a tar's list of files ends where the archive does: tarfile also ends at damage.

    Raises:
        StepError: There is something behind, or it is cut short.
    """
    file.seek(end)
    first = file.read(tarfile.BLOCKSIZE)
    if len(first) < tarfile.BLOCKSIZE:
        raise StepError(f"{archive.name}: damaged tar (it has no end); fetch it again")
    chunk = first
    while chunk:
        if chunk.strip(b"\0"):
            raise StepError(
                f"{archive.name}: damaged tar (no file's header at byte {end}, and more behind "
                "it); fetch it again"
            )
        chunk = file.read(1 << 20)


def _prefix(archive: File) -> str:
    """What the archive's own name says of its files, among several: the split maybe."""
    name = archive.relpath
    for ending in (".gz", ".zip", ".tar", ".tgz"):
        name = name.removesuffix(ending)
    return f"{name}/"


def _read_alone(member: Member) -> StoredImage:
    if member.size > LARGEST:
        return UnreadableError(f"{member.size:,} bytes, expected {LARGEST:,} at most")
    archive = member.archive
    if is_bucket(archive.filesystem):  # where another look is another request
        with archive.filesystem.open_input_file(archive.path) as file:
            data = bytes(file.read())
        if len(data) != member.size:
            raise StepError(f"{archive.name}: it changed while it was read; run again")
        return data
    with archive.open() as file:
        return bytes(file.read())


def _read_member(file: IO[bytes], member: Member) -> bytes:
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
