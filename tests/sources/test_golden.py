"""Fingerprints and shards of every form stay as they are: whoever ingests again gets the same.

The figures were computed once, on the code before it was last rearranged, and are not to change.
"""

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.records import encode
from tests.idx_files import encode_idx, write_source
from tests.ingest.conftest import Array

# A fingerprint holds what pyarrow says of itself, so the file is kept as its bytes: twelve rows in
# row groups of five, the columns `image` (4 x 4 pixels) and `label`.
PARQUET = Path(__file__).with_name("golden.parquet.base64")


def some(count: int, seed: int, sides: tuple[int, ...] = (4, 4)) -> tuple[Array, Array]:
    """Images and labels, spelled out so that they depend on no generator of a library."""
    size = int(np.prod(sides))
    hashes = [hashlib.shake_256(f"{seed} {n}".encode()).digest(size) for n in range(count)]
    images = np.frombuffer(b"".join(hashes), np.uint8).reshape(count, *sides)
    return images, (np.arange(count) * 7 % 10).astype(np.uint8)


TRAIN, TEST = some(40, 0), some(20, 1)


def picture(image: Array) -> bytes:
    """A BMP file, whose bytes no packer decides on."""
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, "BMP")
    return packed.getvalue()


def named_pictures() -> list[tuple[str, bytes]]:
    parts = (("train", TRAIN), ("test", TEST))
    return [
        (f"{split}/{'abc'[number % 3]}/{number:03}.bmp", picture(image))
        for split, (images, _) in parts
        for number, image in enumerate(images)
    ]


def idx(directory: Path) -> Ingest:
    return Ingest(source=str(write_source(directory, TRAIN, TEST)))


def idx_packed(directory: Path) -> Ingest:
    return Ingest(source=str(write_source(directory, TRAIN, TEST, packed=True)))


def idx_without_splits(directory: Path) -> Ingest:
    (directory / "some-images-idx3").write_bytes(encode_idx(TRAIN[0]))
    (directory / "some-labels-idx1").write_bytes(encode_idx(TRAIN[1]))
    return Ingest(source=str(directory))


def emnist(directory: Path) -> Ingest:
    for split, (images, labels) in (("train", TRAIN), ("test", TEST)):
        start = directory / f"emnist-letters-{split}"
        Path(f"{start}-images-idx3-ubyte.gz").write_bytes(gzip.compress(encode_idx(images)))
        Path(f"{start}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(encode_idx(labels + 1)))
    lines = [f"{n + 1} {65 + n} {97 + n}\n" for n in range(10)]
    (directory / "emnist-letters-mapping.txt").write_text("".join(lines))
    return Ingest(source=str(directory))


def npz(directory: Path) -> Ingest:
    arrays: dict[str, Any] = {
        "x_train": TRAIN[0],
        "y_train": TRAIN[1],
        "x_test": TEST[0],
        "y_test": TEST[1],
    }
    np.savez(directory / "digits.npz", **arrays)
    return Ingest(source=str(directory / "digits.npz"))


def npz_in_colours(directory: Path) -> Ingest:
    images, labels = some(30, 2, (6, 4, 3))
    np.savez(directory / "c.npz", x=images, y=labels.astype(np.int64))
    return Ingest(source=str(directory / "c.npz"), grey=True, resize="3x5", transpose=True)


def csv(directory: Path) -> Ingest:
    header = ",".join(["label", *(f"pixel{n}" for n in range(16))])
    for split, (images, labels) in (("train", TRAIN), ("test", TEST)):
        rows = np.column_stack([labels, images.reshape(len(images), -1)]).tolist()
        lines = [header, *(",".join(map(str, row)) for row in rows)]
        (directory / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return Ingest(source=str(directory))


def csv_without_a_header(directory: Path) -> Ingest:
    rows = np.column_stack([TRAIN[1], TRAIN[0].reshape(40, -1)]).tolist()
    rows[7][3] = 256  # rejected
    (directory / "all.csv").write_text("".join(",".join(map(str, row)) + "\r\n" for row in rows))
    return Ingest(source=str(directory), max_rejected=0.1)


def parquet(directory: Path) -> Ingest:
    (directory / "some.parquet").write_bytes(base64.b64decode(PARQUET.read_bytes()))
    return Ingest(source=str(directory / "some.parquet"))


def tfrecord(directory: Path) -> Ingest:
    for split, digits in (("train", TRAIN), ("test", TEST)):
        (directory / f"some-{split}.tfrecord-00000-of-00001").write_bytes(encode(*digits))
    return Ingest(source=str(directory))


def tfrecord_with_a_manifest(directory: Path) -> Ingest:
    images, labels = some(25, 3, (3, 5))
    (directory / "all.tfrecord").write_bytes(encode(images, labels))
    names = '["' + '", "'.join("abcdefghij") + '"]'
    manifest = f'{{"image_shape": [3, 5], "class_names": {names}}}'
    (directory / "dataset.json").write_text(manifest)
    return Ingest(source=str(directory))


def pictures(directory: Path) -> Ingest:
    for name, content in named_pictures():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    return Ingest(source=str(directory))


def pictures_without_splits(directory: Path) -> Ingest:
    pictures(directory)
    return Ingest(source=str(directory / "train"))


def zipped(directory: Path) -> Ingest:
    with zipfile.ZipFile(directory / "some.zip", "w", zipfile.ZIP_STORED) as packed:
        for name, content in named_pictures():
            packed.writestr(name, content)
    return Ingest(source=str(directory / "some.zip"))


def tarred(directory: Path) -> Ingest:
    with tarfile.open(directory / "some.tar.gz", "w:gz") as packed:
        for name, content in named_pictures():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return Ingest(source=str(directory / "some.tar.gz"))


def fake(directory: Path) -> Ingest:
    return Ingest(source="fake://3000?classes=12&shape=5x9")


class Golden(NamedTuple):
    """What a source gives, as the starts of sha256 sums."""

    fingerprint: str
    shards: str


FORMS: dict[Callable[[Path], Ingest], Golden] = {
    idx: Golden("a28faf132623704e", "cccc5e6f4a0a5f97"),
    idx_packed: Golden("a28faf132623704e", "cccc5e6f4a0a5f97"),
    idx_without_splits: Golden("558aa70b78058968", "16fc434af5084c14"),
    emnist: Golden("0774db7374809e4a", "1d1808c8fbb5ee9c"),
    npz: Golden("a8275dda61555c97", "cccc5e6f4a0a5f97"),
    npz_in_colours: Golden("f1165cbe6fec7f08", "71e8d67e0d24140e"),
    csv: Golden("ec72b51fd72d4c60", "cccc5e6f4a0a5f97"),
    csv_without_a_header: Golden("fa6d8d611838b7c5", "9c354d0ad273ac66"),
    parquet: Golden("64634bd9c1029c51", "ea2c113e112357e0"),
    tfrecord: Golden("7801985b32f6e4fe", "cccc5e6f4a0a5f97"),
    tfrecord_with_a_manifest: Golden("80235a9a7ea243b0", "d356d13fc2dcac4d"),
    pictures: Golden("982f5f42b000affa", "e22438455693991f"),
    pictures_without_splits: Golden("c0bbb15bbbc2e371", "cb0b6237adeb9fa5"),
    zipped: Golden("073a2e7f695119fd", "e22438455693991f"),
    tarred: Golden("982f5f42b000affa", "e22438455693991f"),
    fake: Golden("f3e17e70bb5a0fce", "067e452fcc4b954b"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_fingerprint_and_shards_are_what_they_were(
    form: Callable[[Path], Ingest], tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    config = form(tmp_path / "source")
    settings = Ingest(**{**vars(config), "validation_size": 10, "shard_size": 13})
    dataset = ingest(settings, tmp_path / "out")
    digest = hashlib.sha256()
    for split in ("train", "validation", "test"):
        for shard in sorted((tmp_path / "out" / split).iterdir()):
            digest.update(f"{split}/{shard.name}\n".encode() + shard.read_bytes())
    assert Golden(dataset.source_fingerprint[:16], digest.hexdigest()[:16]) == FORMS[form]
