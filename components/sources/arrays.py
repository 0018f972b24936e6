"""Arrays of images with arrays of labels: IDX files, as MNIST is published, and ``.npz``.

An array lies in its file record by record, so that workers read ranges of it; what is packed is
unpacked for them first. Nothing is ever unpickled.

Source: http://yann.lecun.com/exdb/mnist, "THE IDX FILE FORMAT".
"""

import io
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from hashlib import sha256
from math import prod
from pathlib import PurePath

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from components.shared.errors import StepError, explain, listed, log_line
from components.sources import files, labels, pairing
from components.sources.files import File
from components.sources.filesystem import writing
from components.sources.images import Conversion
from components.sources.labels import Classes
from components.sources.pairing import Pair
from components.sources.source import Opened, Raw, Reader, ReadOptions
from components.sources.splits import ORDER

CHUNK = 1 << 20  # bytes unpacked at a time
MEMBER = ".npy"
MAPPING = "mapping.txt"  # what EMNIST's names of classes end with
# By the IDX header's third byte; numbers are written with the high byte first.
DTYPES = {0x08: "|u1", 0x09: "|i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

_SUMS_LONGEST = 1 << 20  # bytes
_SUM = "(?P<sum>[0-9a-fA-F]{32}|[0-9a-fA-F]{64})"
_SUM_LINES = (
    re.compile(rf"\\?{_SUM} [ *]?(?P<name>.+)"),
    re.compile(rf"(MD5|SHA256) \((?P<name>.+)\) = {_SUM}"),  # md5sum --tag
)


@dataclass(frozen=True)
class Header:
    """What an array's file says before its values."""

    offset: int  # bytes before the first value
    shape: tuple[int, ...]  # records first
    dtype: str  # as numpy writes it

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.offset + prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class ArrayFile:
    """An unpacked array whose header was checked against its size."""

    file: File  # as it lies unpacked
    name: str  # what the user calls it, for messages
    relpath: str  # the same, in the directory that the source names
    header: Header
    sha256: str  # of the unpacked file

    @property
    def shape(self) -> tuple[int, ...]:
        """Records first."""
        return self.header.shape

    @property
    def records(self) -> int:
        """How many records the file holds."""
        return self.header.shape[0]

    @property
    def role(self) -> str:
        """Whether these are images or labels.

        Raises:
            StepError: They cannot be either.
        """
        kind = np.dtype(self.header.dtype)
        found = f"{self.name}: {' x '.join(map(str, self.shape))} of {kind}"
        named = pairing.role_of(self.relpath) == pairing.IMAGES
        if len(self.shape) >= 3 or (len(self.shape) == 2 and named):
            if kind.kind not in "iubf" or len(self.shape) > 4:
                raise StepError(f"{found}, expected images as bytes (uint8), 0 to 255")
            return pairing.IMAGES
        if kind.kind not in "iubf" or named:
            raise StepError(
                f"{found}, expected images as bytes (records, height, width) or labels as whole "
                "numbers"
            )
        return pairing.LABELS

    def read(self, start: int, stop: int) -> npt.NDArray:
        """Reads records start … stop - 1 and nothing else.

        Returns:
            ``[stop - start, *shape[1:]]`` of the file's dtype.
        """
        dtype = np.dtype(self.header.dtype)
        size = prod(self.shape[1:]) * dtype.itemsize
        with self.file.open() as file:
            data = file.read_at((stop - start) * size, self.header.offset + start * size)
        if len(data) != (stop - start) * size:
            raise StepError(f"{self.name}: ends before record {stop}; it changed while it was read")
        return np.frombuffer(data, dtype).reshape(stop - start, *self.shape[1:])


@dataclass(frozen=True, kw_only=True)
class ArrayReader(Reader):
    """An array of images with that of their labels."""

    images: ArrayFile
    labels: ArrayFile | None

    def read(self, start: int, stop: int) -> Iterator[Raw]:
        """See :class:`~components.sources.source.Reader`."""
        images = self.images.read(start, stop)
        if self.labels is None:
            yield Raw(images, None)
            return
        found = self.labels.read(start, stop)
        # QMNIST's labels have more columns: writers and places in NIST's own files.
        is_qmnist = "qmnist" in pairing.words(self.labels.relpath) and found.shape[1:] == (8,)
        yield Raw(images, found[:, 0] if is_qmnist else found)


def open_idx(idx: Sequence[File], other_files: Sequence[File], options: ReadOptions) -> Opened:
    """Opens IDX files, plain or gzip by their content, under whatever names they are found.

    A directory that has a file MD5SUMS or SHA256SUMS is checked against it; EMNIST's files, which
    hold every image by columns, are known by their names and transposed.

    Raises:
        StepError: A file is missing or damaged, or the files do not fit together.
    """
    conversion = options.conversion
    idx = _once(idx)
    data_set = _the_data_set(idx, options.config.source)
    if "emnist" in data_set and not conversion.transpose:
        log_line(f"{idx[0].name}: EMNIST stores images by columns; they are transposed")
        conversion = replace(conversion, transpose=True)
    roles = [_role(file) for file in idx]
    if options.labelled:  # which labels are missing is said before anything is unpacked
        of_role = zip(idx, roles, strict=True)
        named = [pairing.Candidate(0, file.name, file.relpath, role) for file, role in of_role]
        pairing.match(named, labelled=True)
    else:
        idx = [file for file, role in zip(idx, roles, strict=True) if role == pairing.IMAGES]
    arrays = _arrays(idx, parse_idx, options, published_sums(other_files))
    return _opened(arrays, options, conversion, _mapping(other_files, data_set))


def open_npy(npy_files: Sequence[File], _: Sequence[File], options: ReadOptions) -> Opened:
    """Opens ``.npy`` files, an array each: x_train.npy, y_train.npy and so on.

    Raises:
        StepError: One is damaged or not a plain array, or the arrays do not fit together.
    """
    return _opened(_arrays(npy_files, parse_npy, options, {}), options, options.conversion)


def open_npz(npz: Sequence[File], _: Sequence[File], options: ReadOptions) -> Opened:
    """Opens ``.npz`` files, as Keras ships MNIST: x_train, y_train, x_test, y_test.

    Raises:
        StepError: One is damaged or holds what is not a plain array, or the arrays do not fit
            together.
    """
    arrays: list[ArrayFile] = []
    for place, file in enumerate(npz):
        fetched = files.fetched(file, options.config.cache)
        with files.opened_zip(fetched) as packed:
            members = sorted(name for name in packed.namelist() if name.endswith(MEMBER))
            for index, member in enumerate(members):
                array = member.removesuffix(MEMBER)
                name = f"{fetched.name}: {array}"
                relpath = f"{fetched.relpath.removesuffix('.npz')}/{array}"
                target = File(options.unpacked, f"npz-{place}-{index}", "", 0)
                chunks = _chunks(packed, member)
                arrays.append(unpack(chunks, parse_npy, name, relpath, target))
    return _opened(arrays, options, options.conversion)


def is_npz(file: File) -> bool:
    """Whether a zip holds arrays."""
    with files.opened_zip(file) as packed:
        return any(name.endswith(MEMBER) for name in packed.namelist())


def published_sums(other_files: Sequence[File]) -> dict[str, str]:
    """The sums in files MD5SUMS and SHA256SUMS by the names that those have, without directories.

    Lines that are not sums, such as comments, are passed over; a file without any is logged.
    """
    sums: dict[str, str] = {}
    for file in other_files:
        if file.basename in files.SUMS:
            found = parse_sums(file.head(_SUMS_LONGEST).decode("utf-8", errors="replace"))
            if not found:
                log_line(f"{file.name}: no sums in it; nothing is checked against it")
            sums |= found
    return sums


def parse_sums(text: str) -> dict[str, str]:
    """Reads the lines that ``md5sum`` and its kin write: the hexadecimal sum by the file's name."""
    found = [
        next(filter(None, (form.fullmatch(line.strip()) for form in _SUM_LINES)), None)
        for line in text.splitlines()
    ]
    return {match["name"].rpartition("/")[2]: match["sum"].lower() for match in found if match}


def parse_idx(head: bytes, name: str) -> Header:
    """Reads the header of an IDX file.

    Raises:
        StepError: This is not such a header.
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


def parse_npy(head: bytes, name: str) -> Header:
    """Reads the header of an npy file.

    Raises:
        StepError: This is not such a header, or not one of a plain array.
    """
    start = io.BytesIO(head)
    try:
        version = npy.read_magic(start)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_columns, dtype = read(start)
    except Exception as error:  # noqa: BLE001  # it evaluates a text: of many kinds
        raise StepError(f"{name}: no array's header ({explain(error)[:200]})") from None
    if dtype.hasobject or dtype.names:
        raise StepError(f"{name}: an array of Python objects, which are never unpickled")
    if by_columns and len(shape) > 1:
        raise StepError(f"{name}: stored by columns; save numpy.ascontiguousarray(…) instead")
    if not shape or any(side < 0 for side in shape):
        raise StepError(f"{name}: an array of shape {shape}, expected records first")
    return Header(start.tell(), shape, dtype.str)


def unpack(
    chunks: Iterator[bytes],
    parse: Callable[[bytes, str], Header],
    name: str,
    relpath: str,
    target: File,
    there: bool = False,
) -> ArrayFile:
    """Has an array lie where workers can read ranges of it, and checks it against its header.

    Args:
        chunks: The file's bytes; the first chunk holds the whole header.
        parse: Reads the header of a file of some name.
        name: What the user calls the file.
        relpath: The same, in the directory that the source names.
        target: Where every worker can read the unpacked file.
        there: Whether it lies there already, so that nothing is written.

    Raises:
        StepError: It is longer or shorter than its header says. What is longer is not unpacked.
    """
    digest, size = sha256(), 0
    first = next(chunks, b"")
    header = parse(first, name)
    with nullcontext() if there else writing(target.filesystem, target.path) as out:
        chunk = first
        while chunk and size + len(chunk) <= header.size:
            size += len(chunk)
            if out:
                out.write(chunk)
            digest.update(chunk)
            chunk = next(chunks, b"")
    if chunk or size != header.size:
        found = f"more than {header.size}" if chunk else size
        raise StepError(
            f"{name}: {found} bytes unpacked, expected {header.size} "
            f"for {' x '.join(map(str, header.shape))}; fetch it again"
        )
    return ArrayFile(target, name, relpath, header, digest.hexdigest())


def _opened(
    arrays: Sequence[ArrayFile],
    options: ReadOptions,
    conversion: Conversion,
    own: Classes | None = None,
) -> Opened:
    """Pairs arrays by their names; equal pairs are taken once: some archives hold them twice.

    Raises:
        StepError: The arrays do not fit together.
    """
    source = options.config.source
    named = [
        pairing.Candidate(place, array.name, array.relpath, array.role)
        for place, array in enumerate(arrays)
    ]
    if not any(one.role == pairing.IMAGES for one in named):
        raise StepError(f"{source}: {listed([a.name for a in arrays])}: no images among these")
    matched = pairing.match(named, options.labelled)
    matched.sort(key=lambda pair: (ORDER.index(pair.split), arrays[pair.images].relpath))
    readers: dict[str, ArrayReader] = {}
    for pair in matched:
        reader = _reader(arrays, pair)
        if reader.digest in readers:
            same = readers[reader.digest].location
            log_line(f"Left out {reader.location}: the same as {same}")
        readers.setdefault(reader.digest, reader)
    classes = labels.choose(options.config.class_names, source, own)
    return Opened(list(readers.values()), classes, conversion)


def _arrays(
    found: Sequence[File],
    parse: Callable[[bytes, str], Header],
    options: ReadOptions,
    sums: dict[str, str],
) -> list[ArrayFile]:
    """Has files that are an array each lie where workers read them."""
    arrays = []
    for number, file in enumerate(found):
        here = files.fetched(file, options.config.cache)
        there = here.is_for_workers
        target = here if there else File(options.unpacked, f"array-{number}", "", 0)
        chunks = files.chunks(here, sums)
        arrays.append(unpack(chunks, parse, file.name, file.relpath, target, there))
    return arrays


def _reader(arrays: Sequence[ArrayFile], pair: Pair) -> ArrayReader:
    images = arrays[pair.images]
    of_labels = None if pair.labels is None else arrays[pair.labels]
    if of_labels and images.records != of_labels.records:
        raise StepError(
            f"{images.name} has {images.records} records, {of_labels.name} has "
            f"{of_labels.records}; expected as many images as labels"
        )
    if len(images.shape) == 4 and images.shape[3] not in (1, 3, 4):
        raise StepError(f"{images.name}: {images.shape[3]} channels, expected 1, 3 or 4")
    return ArrayReader(
        location=images.name,
        split=pair.split,
        records=images.records,
        digest="\n".join(array.sha256 for array in (images, of_labels) if array),
        shape=(images.shape[1], images.shape[2]) if len(images.shape) > 2 else None,
        images=images,
        labels=of_labels,
    )


def _role(file: File) -> str:
    """What an IDX file holds, by its number of dimensions."""
    return pairing.IMAGES if file.unpacked_head()[3:4] >= b"\x03" else pairing.LABELS


def _once(idx: Sequence[File]) -> list[File]:
    """Takes the plain file where it lies beside its gzip."""
    names = {file.relpath for file in idx}
    kept = []
    for file in idx:
        if file.relpath.endswith(".gz") and file.relpath.removesuffix(".gz") in names:
            log_line(f"Left out {file.name}: it lies there unpacked too")
        else:
            kept.append(file)
    return kept


def _the_data_set(idx: Sequence[File], source: str) -> list[str]:
    """The words that all names share, beside split and role: which data set this is.

    Raises:
        StepError: The files are of several.
    """
    found: dict[str, File] = {}
    for file in idx:
        found.setdefault(pairing.data_set_of(file.relpath), file)
    if len(found) > 1 and len(idx) > 2:
        some = list(found.values())[:2]
        pattern = PurePath(some[0].relpath).name.split("-train")[0].split("-test")[0]
        raise StepError(
            f"{source}: {len(found)} data sets, as {some[0].relpath} and {some[1].relpath}; "
            f"name one by a pattern, as '{source.rstrip('/')}/{pattern}-*'"
        )
    return next(iter(found)).split("-")


def _mapping(other_files: Sequence[File], data_set: list[str]) -> Classes | None:
    """The classes of the mapping file that EMNIST has for each of its data sets."""
    for file in other_files:
        if file.basename.endswith(MAPPING) and pairing.words(file.basename)[:-2] == data_set:
            with files.stream(file) as opened:
                text = opened.read(1 << 20).decode("utf-8", errors="replace")
            return labels.of_mapping(text, file.name)
    return None


def _chunks(packed: zipfile.ZipFile, member: str) -> Iterator[bytes]:
    with packed.open(member) as opened:
        while chunk := opened.read(CHUNK):
            yield chunk
