"""Parquet files with a column of images and one of labels, in the layouts that data sets come in.

Row groups are read in the workers, where the files lie.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.shared.errors import StepError, explain
from components.sources import files, labels
from components.sources.files import File
from components.sources.images import WRONG_SIZE, StoredImage, UnreadableError
from components.sources.labels import Classes
from components.sources.source import Opened, Raw, Reader, ReadOptions
from components.sources.splits import split_of

BATCH, BATCH_BYTES = 4_096, 16 << 20  # rows read at a time, and the bytes of their images
LAYOUTS = (
    "encoded images (binary, or struct<bytes: binary, path: string>), or pixels (binary, or lists "
    "of whole numbers, also nested)"
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


def open_parquet(parquet: Sequence[File], _: Sequence[File], options: ReadOptions) -> Opened:
    """Opens Parquet files and checks their schemas.

    Raises:
        StepError: One is not readable, or has other columns.
    """
    config = options.config
    there = [
        files.for_workers(file, options.unpacked, f"{number}.parquet")
        for number, file in enumerate(parquet)
    ]
    with ThreadPoolExecutor() as threads:  # a request or two a file, where they are in a bucket
        found = list(threads.map(lambda file: _reader(file, options), there))
    own = {classes for _, classes in found} - {None} or {None}
    if len(own) > 1:
        raise StepError(
            f"{there[0].name} and the files beside it name other classes each; name one of them"
        )
    classes = labels.choose(config.class_names, config.source, own.pop())
    return Opened([reader for reader, _ in found], classes, options.conversion)


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
    """Whether these are lists of whole numbers, three deep at most."""
    depth = 0
    while is_list(kind):
        kind, depth = kind.value_type, depth + 1
    return 1 <= depth <= 3 and pa.types.is_integer(kind)


@contextmanager
def _opened(file: File) -> Iterator[pq.ParquetFile]:
    """Opens a file; what pyarrow raises for a damaged one, also in the block, becomes StepError."""
    try:
        with pq.ParquetFile(
            file.path, filesystem=file.filesystem, page_checksum_verification=True
        ) as opened:
            yield opened
    except (pa.ArrowException, OSError) as error:
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
    if not (pa.types.is_integer(kind) or (texts and is_text(kind))):
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


def _labels(column: pa.Array) -> npt.NDArray[np.int64] | list[str | None]:
    """The labels as numbers, or as texts where they are such or some are missing."""
    if is_text(column.type):
        return column.to_pylist()
    if column.null_count:
        return [None if value is None else str(value) for value in column.to_pylist()]
    # One too large for int64 does not stand for a class either.
    return column.cast(pa.int64(), safe=False).to_numpy(zero_copy_only=False)


def _images(column: pa.Array) -> npt.NDArray[np.uint8] | Iterator[StoredImage]:
    """All images at once, if they are pixels, as many in each; else one by one."""
    block = None
    if pa.types.is_fixed_size_binary(column.type) and not column.null_count:
        width = column.type.byte_width
        flat = np.frombuffer(column.buffers()[1], np.uint8)
        block = flat[column.offset * width :][: len(column) * width].reshape(-1, width)
    elif is_list(column.type) and not column.null_count:
        block = _nested_block(column)
    return map(_image, column) if block is None else block


def _nested_block(column: pa.Array) -> npt.NDArray[np.uint8] | None:
    sides: list[int] = []
    values = column
    while is_list(values.type):
        lengths = pc.list_value_length(values).to_numpy()
        values = values.flatten()
        if not len(lengths) or (lengths != lengths[0]).any() or values.null_count:
            return None
        sides.append(int(lengths[0]))
    pixels = _in_bounds(values.to_numpy(zero_copy_only=False))
    return None if pixels is None else pixels.reshape(-1, *sides)


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
    pixels = _in_bounds(array)
    if pixels is None:
        bounds = f"{array.min()} to {array.max()}" if array.size else "none to none"
        return UnreadableError(f"pixels from {bounds}, expected 0 to 255", _bytes(value))
    return pixels


def _in_bounds(pixels: npt.NDArray) -> npt.NDArray[np.uint8] | None:
    if pixels.dtype == np.uint8:
        return pixels
    if not pixels.size or pixels.dtype.kind not in "iu":
        return None
    return None if pixels.min() < 0 or pixels.max() > 255 else pixels.astype(np.uint8)


def _bytes(value: object) -> bytes:
    """What there is of an image in lists, for the record of what was rejected."""
    flat = np.array(value, object).ravel().tolist()
    while any(isinstance(one, list) for one in flat):
        flat = [inner for one in flat for inner in (one if isinstance(one, list) else [one])]
    return bytes(one if isinstance(one, int) and 0 <= one <= 255 else 0 for one in flat)
