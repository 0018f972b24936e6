"""Parquet and Arrow with a column of images and one of labels, in the layouts data sets come in.

Row groups and batches are read in the workers, where the files lie.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.shared.errors import StepError, explain
from components.sources import files, labels
from components.sources.files import File
from components.sources.images import WRONG_SIZE, StoredImage, UnreadableError
from components.sources.labels import Classes, StoredLabel
from components.sources.source import Opened, Raw, Reader, ReadOptions
from components.sources.splits import split_of

BATCH, BATCH_BYTES = 4_096, 16 << 20  # rows read at a time, and the bytes of their images
# What pyarrow raises for a file that is not whole; the last for the name of a column.
DAMAGED = (pa.ArrowException, OSError, EOFError, UnicodeDecodeError)
SIGNATURE = 28  # bytes behind a footer that is not encrypted where columns may be
LAYOUTS = (
    "encoded images (binary, or struct<bytes: binary, path: string>), or pixels (binary, or lists "
    "of numbers, also nested)"
)


@dataclass(frozen=True, kw_only=True)
class ParquetReader(Reader):
    """A Parquet file whose schema was checked."""

    file: File
    image: str  # the column's name
    label: str  # the column's name; empty: no labels are asked for
    batch: int  # rows read at a time

    def read(self, start: int, stop: int) -> Iterator[Raw]:
        """See :class:`~components.sources.source.Reader`."""
        columns = [self.image, self.label] if self.label else [self.image]
        with _opened(self.file) as opened:
            for table in _slices(opened, start, stop, columns, self.batch):
                of_labels = _labels(plain(table[self.label])) if self.label else None
                yield Raw(_images(plain(table[self.image])), of_labels)


@dataclass(frozen=True, kw_only=True)
class ArrowReader(Reader):
    """A stream of Arrow whose schema was checked."""

    file: File
    image: str  # the column's name
    label: str  # the column's name; empty: no labels are asked for
    offsets: tuple[int, ...]  # the first byte of each batch, whose first rows are the cuts

    def read(self, start: int, stop: int) -> Iterator[Raw]:
        """See :class:`~components.sources.source.Reader`."""
        with _stream(self.file) as opened:
            schema = pa.ipc.read_schema(opened)
            for offset, (begin, end) in zip(self.offsets, pairwise((0, *self.cuts)), strict=True):
                low, high = max(start, begin), min(stop, end)
                if low >= high:
                    continue
                opened.seek(offset)
                batch = pa.ipc.read_record_batch(pa.ipc.read_message(opened), schema)
                rows = pa.Table.from_batches([batch]).slice(low - begin, high - low)
                of_labels = _labels(plain(rows[self.label])) if self.label else None
                yield Raw(_images(plain(rows[self.image])), of_labels)


def open_parquet(parquet: Sequence[File], _: Sequence[File], options: ReadOptions) -> Opened:
    """Opens Parquet files and checks their schemas.

    Raises:
        StepError: One is not readable, or has other columns.
    """
    there = [
        files.for_workers(file, options.unpacked, f"{number}.parquet")
        for number, file in enumerate(parquet)
    ]
    with ThreadPoolExecutor() as threads:  # a request or two a file, where they are in a bucket
        found = list(threads.map(lambda file: _reader(file, options), there))
    return _of_one_kind(found, options)


def open_arrow(arrow: Sequence[File], _: Sequence[File], options: ReadOptions) -> Opened:
    """Opens streams of Arrow, as ``save_to_disk`` of Hugging Face's datasets writes them.

    Raises:
        StepError: One is not readable, or has other columns.
    """
    found = []
    for number, file in enumerate(arrow):
        there = files.for_workers(file, options.unpacked, f"{number}.arrow")
        found.append(_arrow_reader(there, options))
    return _of_one_kind(found, options)


def plain(column: pa.ChunkedArray) -> pa.Array:
    """A column without the wrappings that change nothing about its values."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # of no or several chunks, where they do not combine
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if is_encoded(array.type):
        array = pc.struct_field(array, "bytes")
    return array


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column once it is plain."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return kind.field("bytes").type if is_encoded(kind) else kind


def is_encoded(kind: pa.DataType) -> bool:
    """Whether this is Hugging Face's struct of an encoded image."""
    return pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0


def is_binary(kind: pa.DataType) -> bool:
    """Whether these are bytes."""
    kinds = pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view
    return pa.types.is_fixed_size_binary(kind) or any(check(kind) for check in kinds)


def is_text(kind: pa.DataType) -> bool:
    """Whether these are texts."""
    kinds = pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view
    return any(check(kind) for check in kinds)


def is_list(kind: pa.DataType) -> bool:
    """Whether these are lists, of one length or of several."""
    lists = pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list
    return any(check(kind) for check in lists)


def is_pixels(kind: pa.DataType) -> bool:
    """Whether these are lists of numbers, three deep at most."""
    depth = 0
    while is_list(kind):
        kind, depth = kind.value_type, depth + 1
    return 1 <= depth <= 3 and is_number(kind)


def is_number(kind: pa.DataType) -> bool:
    """Whether these are whole numbers, floating point, or false and true."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def is_label(kind: pa.DataType) -> bool:
    """Whether these are numbers, or lists of such."""
    return is_number(kind.value_type if is_list(kind) else kind)


def _of_one_kind(found: Sequence[tuple[Reader, Classes | None]], options: ReadOptions) -> Opened:
    config = options.config
    own = {classes for _, classes in found} - {None} or {None}
    if len(own) > 1:
        raise StepError(
            f"{found[0][0].location} and the files beside it name other classes each; name one of "
            "them"
        )
    classes = labels.choose(config.class_names, config.source, own.pop())
    return Opened([reader for reader, _ in found], classes, options.conversion)


@contextmanager
def _opened(file: File) -> Iterator[pq.ParquetFile]:
    """Opens a file; what pyarrow raises for a damaged one, also in the block, becomes StepError."""
    try:
        with (
            file.open() as there,
            pq.ParquetFile(there, page_checksum_verification=True) as opened,
        ):
            tail = there.read_at(8, file.size - 8)
            footer = int.from_bytes(tail[:4], "little")
            # pyarrow ends the process where a column is asked for whose description is encrypted.
            if footer - opened.metadata.serialized_size == SIGNATURE:
                raise StepError(f"{file.name}: columns are encrypted; write it without encryption")
            yield opened
    except DAMAGED as error:
        raise StepError(
            f"{file.name}: {explain(error)}; expected a Parquet file that is whole"
        ) from None


def _reader(file: File, options: ReadOptions) -> tuple[ParquetReader, Classes | None]:
    """A reader of a file, and the classes that its metadata names."""
    with _opened(file) as opened:
        schema, metadata = opened.schema_arrow, opened.metadata
        groups = [metadata.row_group(number).num_rows for number in range(opened.num_row_groups)]
    image = options.config.image_column
    label = options.config.label_column if options.labelled else ""
    _check_schema(schema, file.name, image, label, texts=bool(options.config.class_names))
    footer = pa.BufferOutputStream()
    metadata.write_metadata_file(footer)
    reader = ParquetReader(
        location=file.name,
        split=split_of(file.relpath),
        records=sum(groups),
        digest=f"{sha256(footer.getvalue()).hexdigest()}  {file.basename}",
        cuts=tuple(accumulate(groups)),
        file=file,
        image=image,
        label=label,
        batch=_batch(metadata, image),
    )
    return reader, labels.of_huggingface(schema.metadata, label)


@contextmanager
def _stream(file: File) -> Iterator[pa.NativeFile]:
    try:
        with file.open() as opened:
            yield opened
    except DAMAGED as error:
        raise StepError(
            f"{file.name}: {explain(error)}; expected a stream of Arrow that is whole, or save it "
            "anew with to_parquet()"
        ) from None


def _arrow_reader(file: File, options: ReadOptions) -> tuple[ArrowReader, Classes | None]:
    """A reader of a stream, and the classes that its metadata names."""
    image = options.config.image_column
    label = options.config.label_column if options.labelled else ""
    offsets, ends, digest = [], [0], sha256()
    with _stream(file) as opened:
        schema = pa.ipc.read_schema(opened)
        _check_schema(schema, file.name, image, label, texts=bool(options.config.class_names))
        place = opened.tell()
        while opened.tell() + 8 <= file.size and opened.read(8)[4:] != bytes(4):
            opened.seek(place)
            message = pa.ipc.read_message(opened)
            if message.type != "record batch":
                raise StepError(
                    f"{file.name}: Arrow with dictionaries; save it anew with to_parquet()"
                )
            offsets.append(place)
            ends.append(ends[-1] + pa.ipc.read_record_batch(message, schema).num_rows)
            place = opened.tell()
    with file.open_stream() as opened:
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
    reader = ArrowReader(
        location=file.name,
        split=split_of(file.relpath),
        records=ends[-1],
        digest=f"{digest.hexdigest()}  {file.basename}",
        cuts=tuple(ends[1:]),
        file=file,
        image=image,
        label=label,
        offsets=tuple(offsets),
    )
    return reader, labels.of_huggingface(schema.metadata, label)


def _check_schema(schema: pa.Schema, name: str, image: str, label: str, texts: bool) -> None:
    """Checks that a file holds images and labels in a layout that can be read.

    Args:
        schema: Of the file.
        name: What the user calls it.
        image: The column of images.
        label: That of labels, or empty.
        texts: Whether labels may be names of classes.

    Raises:
        StepError: It does not.
    """
    columns = [image, label] if label else [image]
    for column, option in zip(columns, ("--image-column", "--label-column"), strict=False):
        if schema.names.count(column) > 1:
            raise StepError(f"{name}: {schema.names.count(column)} columns {column}, expected one")
        if column not in schema.names:
            raise StepError(
                f"{name}: columns {', '.join(schema.names) or 'none'}; "
                f"expected {' and '.join(columns)}; {option} names another"
            )
    kind = plain_type(schema.field(image).type)
    if not (is_binary(kind) or is_pixels(kind)):
        raise StepError(f"{name}: column {image} is {kind}; expected {LAYOUTS}")
    if not label:
        return
    kind = plain_type(schema.field(label).type)
    if not (is_label(kind) or (texts and is_text(kind))):
        named = "; --class-names says what the texts stand for" if is_text(kind) else ""
        raise StepError(f"{name}: column {label} is {kind}; expected int64{named}")


def _batch(metadata: pq.FileMetaData, image: str) -> int:
    """How many rows to read at a time, so that their images fit into memory many times."""
    rows, size = 0, 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        rows += group.num_rows
        for place in range(group.num_columns):
            if group.column(place).path_in_schema.split(".")[0] == image:
                size += group.column(place).total_uncompressed_size
    return max(1, min(BATCH, BATCH_BYTES * rows // max(size, 1)))


def _slices(
    file: pq.ParquetFile, start: int, stop: int, columns: list[str], batch: int
) -> Iterator[pa.Table]:
    """Rows start … stop - 1, a few at a time, from the row groups that hold them."""
    begin = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if begin < stop and begin + rows > start:
            at = begin
            for some in file.iter_batches(batch, row_groups=[group], columns=columns):
                low, high = max(start, at), min(stop, at + len(some))
                if low < high:
                    yield pa.Table.from_batches([some.slice(low - at, high - low)])
                at += len(some)
        begin += rows


def _labels(column: pa.Array) -> npt.NDArray | list[StoredLabel]:
    """The labels as numbers, or one by one where they are texts or lists or some are missing."""
    if is_number(column.type) and not column.null_count:
        return column.to_numpy(zero_copy_only=False)
    values = column.to_pylist()
    if is_text(column.type):
        return values
    return [None if value is None else np.array(value) for value in values]


def _images(column: pa.Array) -> npt.NDArray | Iterator[StoredImage]:
    """All images at once, if they are pixels, as many in each; else one by one."""
    block = None
    if pa.types.is_fixed_size_binary(column.type) and not column.null_count:
        width = column.type.byte_width
        flat = np.frombuffer(column.buffers()[1], np.uint8)
        block = flat[column.offset * width :][: len(column) * width].reshape(-1, width)
    elif is_list(column.type) and not column.null_count:
        block = _nested_block(column)
    return map(_image, column) if block is None else block


def _nested_block(column: pa.Array) -> npt.NDArray | None:
    sides: list[int] = []
    values = column
    while is_list(values.type):
        lengths = pc.list_value_length(values).to_numpy()
        values = values.flatten()
        if not len(lengths) or (lengths != lengths[0]).any() or values.null_count:
            return None
        sides.append(int(lengths[0]))
    return values.to_numpy(zero_copy_only=False).reshape(-1, *sides)


def _image(scalar: pa.Scalar) -> StoredImage:
    value = scalar.as_py()
    if value is None:
        return UnreadableError("no image")
    if isinstance(value, bytes):
        return value
    try:
        array = np.array(value)
    except ValueError:
        return UnreadableError(f"{WRONG_SIZE}rows of several lengths", _bytes(value))
    if array.dtype == object:
        return UnreadableError("null among the pixels", _bytes(value))
    return array


def _bytes(value: object) -> bytes:
    """What there is of an image in lists, for the record of what was rejected."""
    flat = np.array(value, object).ravel().tolist()
    while any(isinstance(one, list) for one in flat):
        flat = [inner for one in flat for inner in (one if isinstance(one, list) else [one])]
    return bytes(one if isinstance(one, int) and 0 <= one <= 255 else 0 for one in flat)
