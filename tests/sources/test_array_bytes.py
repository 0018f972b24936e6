"""The IDX reader on whatever bytes there are."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyarrow.fs import LocalFileSystem

from components.shared.errors import StepError
from components.sources.arrays import ArrayFile, parse_idx, unpack
from components.sources.files import File, chunks
from components.sources.filesystem import open_directory
from tests.idx_files import encode_idx
from tests.ingest.conftest import fuzz


def _unpack(directory: Path, content: bytes) -> ArrayFile:
    path = directory / "file"
    path.write_bytes(content)
    file, target = (
        File(LocalFileSystem(), str(path), str(directory), len(content)),
        open_directory(str(directory)),
    )
    return unpack(chunks(file), parse_idx, file.name, "", File(target, "out", "", 0))


@fuzz
@given(
    array=st.integers(1, 3).flatmap(
        lambda dimensions: arrays(np.uint8, st.tuples(*[st.integers(0, 5)] * dimensions))
    ),
    packed=st.booleans(),
    data=st.data(),
)
def test_any_array_is_read_back(
    array: np.ndarray, packed: bool, data: st.DataObject, tmp_path: Path
) -> None:
    content = encode_idx(array)
    content = gzip.compress(content, 1) if packed else content
    file = _unpack(tmp_path, content)
    assert file.shape == array.shape
    start = data.draw(st.integers(0, len(array)))
    stop = data.draw(st.integers(start, len(array)))
    assert np.array_equal(file.read(start, stop), array[start:stop])


@fuzz
@given(content=st.binary(max_size=200), start=st.sampled_from([b"", b"\x1f\x8b", b"\0\0\x08\x03"]))
def test_any_bytes_are_read_or_named(content: bytes, start: bytes, tmp_path: Path) -> None:
    try:
        file = _unpack(tmp_path, start + content)
    except StepError as error:
        assert str(tmp_path) in str(error)
        assert "\n" not in str(error)
    else:
        assert file.read(0, file.records).shape == file.shape


@fuzz
@given(data=st.data(), packed=st.booleans())
def test_a_damaged_file_is_read_or_named(data: st.DataObject, packed: bool, tmp_path: Path) -> None:
    whole = encode_idx(np.arange(64, dtype=np.uint8).reshape(4, 4, 4))
    content = bytearray(gzip.compress(whole) if packed else whole)
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    damaged = bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert _unpack(tmp_path, damaged).records <= 64
    except StepError as error:
        assert str(tmp_path) in str(error)


def test_a_header_that_promises_too_much_is_named_before_memory_is_taken(tmp_path: Path) -> None:
    header = b"\0\0\x08\x03" + b"\xff" * 12
    with pytest.raises(StepError, match="16 bytes unpacked, expected 792281624"):
        _unpack(tmp_path, header)
