"""Every reader on damaged files: records or one line come of it, never another exception."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import Ingest
from components.shared.errors import StepError
from components.shared.records import encode
from tests.idx_files import encode_idx
from tests.ingest.conftest import digits, fuzz, png, read_all, write_parquet

IMAGES, LABELS = digits(30)


def idx() -> bytes:
    return encode_idx(IMAGES)


def npz() -> bytes:
    packed = io.BytesIO()
    np.savez_compressed(packed, x=IMAGES[:5], y=LABELS[:5])
    return packed.getvalue()


def csv() -> bytes:
    rows = np.column_stack([LABELS, IMAGES.reshape(30, -1)])
    return "".join(",".join(map(str, row)) + "\r\n" for row in rows.tolist()).encode()


def tfrecord() -> bytes:
    return encode(IMAGES, LABELS)


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "ab":
            archive.writestr(f"{name}/1.png", png(IMAGES[0]))
    return packed.getvalue()


def tarred() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in "ab":
            info = tarfile.TarInfo(f"{name}/1.png")
            info.size = len(png(IMAGES[0]))
            archive.addfile(info, io.BytesIO(png(IMAGES[0])))
    return packed.getvalue()


def _parquet(layout: str) -> Callable[[Path], bytes]:
    def written(path: Path) -> bytes:
        write_parquet(path, IMAGES, LABELS, layout, rows=10)
        return path.read_bytes()

    return written


MADE = {make.__name__: make() for make in (idx, npz, csv, tfrecord, zipped, tarred)}
PARQUET = {layout: _parquet(layout) for layout in ("png", "binary", "list")}


@pytest.mark.parametrize("form", [*MADE, *PARQUET])
@fuzz
@given(data=st.data())
def test_damage_anywhere_gives_records_or_one_line(
    form: str, data: st.DataObject, tmp_path: Path
) -> None:
    """Changes and cuts bytes, more often at the start, where headers are."""
    path = tmp_path / "a file"
    whole = MADE[form] if form in MADE else PARQUET[form](path)
    content = bytearray(whole)
    places = st.integers(0, len(content) - 1) | st.integers(0, min(600, len(content) - 1))
    for place in data.draw(st.lists(places, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.just(len(content)) | places)])
    (tmp_path / "labels").write_bytes(encode_idx(LABELS))
    source = f"{path},{tmp_path}/labels" if form == "idx" else str(path)
    _read(source, tmp_path)


@pytest.mark.parametrize(
    "start",
    [pytest.param(b"", id="none"), *(pytest.param(MADE[form][:12], id=form) for form in MADE)],
)
@fuzz
@given(content=st.binary(max_size=400))
def test_any_bytes_behind_a_right_start(start: bytes, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a file"
    path.write_bytes(start + content)
    _read(str(path), tmp_path)


def _read(source: str, directory: Path) -> None:
    try:
        read_all(Ingest(source=source, shard_size=7), directory)
    except StepError as error:
        assert str(directory) in str(error)
        assert "\n" not in str(error)
