"""What a picture says: one rule for grey values in every form, and what a file holds besides."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.errors import StepError
from tests.ingest.conftest import digits, fuzz, read_all
from tests.sources.tables import write_csv, write_idx, write_npz, write_parquet, write_tfrecord

IMAGES, LABELS = digits(20)
IMAGES[0, 0, 0] = 255  # so that the first image goes to the end of the scale
Write = Callable[[Path, npt.NDArray, npt.NDArray], str]
FORMS: tuple[Write, ...] = (write_npz, write_idx, write_parquet, write_tfrecord, write_csv)
by_form = pytest.mark.parametrize("write", FORMS, ids=lambda write: write.__name__)


def write_pictures(directory: Path, images: npt.NDArray, labels: npt.NDArray) -> str:
    """TIFF files, which hold numbers of any kind, in a folder a class."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = directory / "in" / str(label) / f"{number:03}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return str(directory / "in")


def as_set(images: npt.NDArray) -> set[bytes]:
    return {image.tobytes() for image in images}


@by_form
def test_floating_point_is_0_to_1(write: Write, tmp_path: Path) -> None:
    source = write(tmp_path, IMAGES.astype(np.float32) / 255, LABELS)
    _, records = read_all(Ingest(source=source, grey=True), tmp_path)
    assert np.array_equal(records.images, IMAGES)
    with pytest.raises(StepError, match="record 0"):
        ingest(Ingest(source=source), tmp_path / "out")


@by_form
def test_floating_point_beyond_1_is_0_to_255(write: Write, tmp_path: Path) -> None:
    values = IMAGES.astype(np.float32)
    values[:, 3] += 0.25
    _, records = read_all(
        Ingest(source=write(tmp_path, values.clip(0, 255), LABELS), grey=True), tmp_path
    )
    assert np.array_equal(records.images, IMAGES)


def test_pictures_of_floating_point(tmp_path: Path) -> None:
    source = write_pictures(tmp_path, IMAGES.astype(np.float32) / 255, LABELS)
    _, records = read_all(Ingest(source=source, grey=True), tmp_path)
    assert as_set(records.images) == as_set(IMAGES)


@pytest.mark.parametrize("write", [write_npz, write_pictures])
def test_of_16_bits_the_upper_8_are_taken(write: Write, tmp_path: Path) -> None:
    values = IMAGES.astype(np.uint16) * 256 + 77
    source = write(tmp_path, values, LABELS)
    _, records = read_all(Ingest(source=source, grey=True), tmp_path)
    assert as_set(records.images) == as_set(IMAGES)
    with pytest.raises(StepError, match="--grey converts"):
        ingest(Ingest(source=source), tmp_path / "out")


@pytest.mark.parametrize("write", [write_npz, write_pictures])
def test_8_bits_stored_in_16_do_not_turn_black(write: Write, tmp_path: Path) -> None:
    source = write(tmp_path, IMAGES.astype(np.uint16), LABELS)
    with pytest.raises(StepError, match=r"8 bits stored in 16|none of the images"):
        ingest(Ingest(source=source, grey=True), tmp_path / "out")


BAD: dict[str, npt.NDArray] = {
    "negative": IMAGES.astype(np.int32) - 1,
    "more than 16 bits": IMAGES.astype(np.int32) + 70_000,
    "beyond 255": IMAGES.astype(np.float32) * 2 + 1,
    "below 0": IMAGES.astype(np.float32) / 255 - 0.5,
    "not a number": np.where(IMAGES > 100, np.nan, IMAGES).astype(np.float32),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("write", [*FORMS, write_pictures], ids=lambda write: write.__name__)
def test_other_numbers_are_rejected(write: Write, name: str, tmp_path: Path) -> None:
    source = write(tmp_path, BAD[name], LABELS)
    with pytest.raises(StepError, match=r"expected"):
        ingest(Ingest(source=source, grey=True), tmp_path / "out")


@pytest.mark.parametrize("write", [write_npz, write_parquet])
def test_false_and_true_are_black_and_white(write: Write, tmp_path: Path) -> None:
    _, records = read_all(Ingest(source=write(tmp_path, IMAGES > 99, LABELS)), tmp_path)
    assert np.array_equal(records.images, (IMAGES > 99) * np.uint8(255))


@by_form
@fuzz
@given(data=st.data(), kind=st.sampled_from(["f4", "f8", "i4", "i2", "u2", "u1", "b1"]))
def test_any_numbers_are_grey_values_or_rejected(
    write: Write, data: st.DataObject, kind: str, tmp_path: Path
) -> None:
    most = data.draw(st.sampled_from([0, 1, 2, 255, 256, 65_535, 70_000]))
    numbers = data.draw(st.lists(st.integers(-1, most), min_size=8, max_size=8))
    images = np.array(numbers).astype(kind).reshape(2, 2, 2)
    if kind == "f4" and data.draw(st.booleans()):
        images = images / 7
    config = Ingest(source=write(tmp_path, images, LABELS[:2]), grey=data.draw(st.booleans()))
    try:
        _, records = read_all(config, tmp_path)
    except StepError as error:
        assert "expected" in str(error) or "bits" in str(error)
    else:
        assert len(records.images) + len(records.unreadable) == 2


def test_flat_pixels_of_any_shape(tmp_path: Path) -> None:
    images = IMAGES[:, :12, :20]
    flat = images.reshape(20, -1)
    np.savez(tmp_path / "a.npz", x=flat, y=LABELS)
    write_tfrecord(tmp_path, images, LABELS)
    header = ",".join(["label", *(f"p{n}" for n in range(240))])
    np.savetxt(
        tmp_path / "a.csv", np.column_stack([LABELS, flat]), "%d", ",", header=header, comments=""
    )
    for name in ("a.npz", "some.tfrecord", "a.csv"):
        _, records = read_all(Ingest(source=str(tmp_path / name), shape="12x20"), tmp_path)
        assert np.array_equal(records.images, images)
        with pytest.raises(StepError, match="--shape"):
            ingest(Ingest(source=str(tmp_path / name)), tmp_path / "out")


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    packed = io.BytesIO()
    picture.save(packed, kind, **options)
    return packed.getvalue()


def _source(directory: Path, content: bytes, name: str = "1.png") -> str:
    for folder in ("a", "b"):
        (directory / "in" / folder).mkdir(parents=True)
        (directory / "in" / folder / name).write_bytes(content)
    return str(directory / "in")


# How an upright image is stored under each orientation of EXIF.
TURNS: dict[int, Callable[[npt.NDArray], npt.NDArray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: a.T[::-1],
    7: lambda a: a.T[::-1, ::-1],
    8: lambda a: a.T[:, ::-1],
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_picture_is_turned_as_it_says(kind: str, orientation: int, tmp_path: Path) -> None:
    upright = np.full((20, 30), 90, np.uint8)
    upright[:10, :15] = 210
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(TURNS[orientation](upright)))
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    source = _source(tmp_path, _saved(stored, kind, exif=exif, **options))
    _, records = read_all(Ingest(source=source), tmp_path)
    assert records.images.shape == (2, 20, 30)
    assert np.abs(records.images[0].astype(int) - upright).max() <= 2


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP"])
def test_several_pictures_in_a_file_are_rejected(kind: str, tmp_path: Path) -> None:
    pages = [Image.fromarray(image) for image in IMAGES[:3]]
    content = _saved(pages[0], kind, save_all=True, append_images=pages[1:])
    with pytest.raises(StepError, match="3 pictures in one file, expected one"):
        ingest(Ingest(source=_source(tmp_path, content)), tmp_path / "out")


def test_transparent_grey_is_not_grey(tmp_path: Path) -> None:
    content = _saved(Image.fromarray(IMAGES[0]), "PNG", transparency=int(IMAGES[0, 5, 5]))
    source = _source(tmp_path, content)
    with pytest.raises(StepError, match="--grey converts"):
        ingest(Ingest(source=source), tmp_path / "out")
    _, records = read_all(Ingest(source=source, grey=True), tmp_path)
    assert np.array_equal(records.images[0], np.where(IMAGES[0] == IMAGES[0, 5, 5], 0, IMAGES[0]))


# Formats that lose nothing, and the modes in which each can hold what was grey.
MODES = {
    "PNG": ("L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("L", "LA", "RGB", "RGBA", "I;16", "F"),
    "WEBP": ("L", "RGB"),  # which keeps no alpha where nothing is transparent
    "GIF": ("L", "P"),
    "BMP": ("L", "RGB"),
}


@fuzz
@given(data=st.data(), kind=st.sampled_from(sorted(MODES)), grey=st.booleans())
def test_any_picture_of_grey_is_upright_as_it_was_or_rejected(
    data: st.DataObject, kind: str, grey: bool, tmp_path: Path
) -> None:
    sides = data.draw(st.tuples(st.integers(2, 9), st.integers(2, 9)))
    values = data.draw(st.binary(min_size=sides[0] * sides[1], max_size=sides[0] * sides[1]))
    upright = np.frombuffer(values, np.uint8).reshape(sides).copy()
    upright[0, 0] = 255  # so that the end of the scale is in it
    mode = data.draw(st.sampled_from(MODES[kind]))
    orientation = 1 if kind in ("GIF", "BMP") else data.draw(st.sampled_from(sorted(TURNS)))
    pages = data.draw(st.sampled_from([1, 1, 1, 2])) if kind in ("TIFF", "GIF", "WEBP") else 1
    stored = np.ascontiguousarray(TURNS[orientation](upright))
    if mode == "I;16":
        picture = Image.fromarray(stored.astype(np.uint16) * 257)
    elif mode == "F":
        picture = Image.fromarray(stored.astype(np.float32) / 255)
    else:
        picture = Image.fromarray(stored).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, object] = {} if orientation == 1 else {"exif": exif}
    if pages > 1:
        other = Image.fromarray(255 - stored).convert("L" if mode in ("I;16", "F") else mode)
        options |= {"save_all": True, "append_images": [other]}
    content = _saved(picture, kind, **options, **({"lossless": True} if kind == "WEBP" else {}))
    for folder, file in (("a", content), ("b", _saved(Image.fromarray(upright), "PNG"))):
        (tmp_path / "in" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / folder / "1.png").write_bytes(file)

    _, records = read_all(Ingest(source=str(tmp_path / "in"), grey=grey), tmp_path)
    needs_grey = mode in ("LA", "RGBA", "I;16", "F")
    assert len(records.images) + len(records.unreadable) == 2
    [reason] = [record.reason for record in records.unreadable] or [""]
    if pages > 1:
        assert reason == "2 pictures in one file, expected one"
    elif needs_grey and not grey:
        assert "--grey converts" in reason
    else:
        assert not reason
        assert np.array_equal(records.images[0], upright)
