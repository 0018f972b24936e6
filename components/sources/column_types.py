"""The types of Parquet columns, without the wrappings that change nothing about their values."""

import pyarrow as pa
import pyarrow.compute as pc


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
