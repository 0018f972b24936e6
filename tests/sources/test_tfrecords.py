"""TFRecord of tf.train.Example, written by TensorFlow itself."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.errors import StepError
from components.sources.tfrecords import parse_example
from tests.ingest.conftest import Array, digits, read_all
from tests.ingest.test_ingest import read

IMAGES, LABELS = digits(300)


def feature(value: Any) -> tf.train.Feature:
    values = value if isinstance(value, list) else [value]
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def record(**values: Any) -> bytes:
    named = {name: feature(value) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString()


def write(path: Path, records: list[bytes], compression: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for one in records:
            writer.write(one)


def png(image: Array) -> bytes:
    return tf.io.encode_png(image[..., None]).numpy()


def jpeg(image: Array) -> bytes:
    return tf.io.encode_jpeg(image[..., None], quality=100).numpy()


FORMS: dict[str, Callable[[Array], Any]] = {
    "png": png,
    "raw": lambda image: image.tobytes(),
    "numbers": lambda image: image.ravel().tolist(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_every_form_of_an_image(form: str, compression: str, tmp_path: Path) -> None:
    pairs = zip(IMAGES, LABELS, strict=True)
    records = [record(image=FORMS[form](image), label=int(label)) for image, label in pairs]
    write(tmp_path / "digits", records, compression)
    config = Ingest(source=str(tmp_path / "digits"), shard_size=110)
    source, found = read_all(config, tmp_path)
    assert source.class_names == tuple("0123456789")
    assert np.array_equal(found.images, IMAGES)
    assert np.array_equal(found.labels, LABELS)


def test_tensorflow_datasets_with_its_splits_and_names(tmp_path: Path) -> None:
    """As TensorFlow Datasets writes mnist/3.0.1; colours and sizes as the user asks."""
    source = tmp_path / "animals" / "1.0.0"
    for split, count in (("train", 40), ("test", 20)):
        colour = np.stack([IMAGES[:count]] * 3, axis=-1)
        colour[..., 0] //= 2
        records = [
            record(image=tf.io.encode_jpeg(image).numpy(), label=n % 3)
            for n, image in enumerate(colour)
        ]
        for shard in (0, 1):
            name = f"animals-{split}.tfrecord-{shard:05}-of-00002"
            write(source / name, records[shard::2])
    (source / "label.labels.txt").write_text("cat\ndog\neel\n")
    (source / "features.json").write_text("{}")
    config = Ingest(source=str(source), validation_size=10, grey=True, resize="14x14")
    opened, found = read_all(config, tmp_path)
    assert opened.class_names == ("cat", "dog", "eel")
    assert opened.image_shape == (14, 14)
    assert opened.splits_from.startswith("train and test are those that the source names")
    assert len(found.images) == 60
    with pytest.raises(StepError, match=r"record 0: an image of mode RGB.*--grey converts"):
        read_all(Ingest(source=str(source), validation_size=10), tmp_path)


def test_what_ingest_wrote_is_a_source_again(tmp_path: Path) -> None:
    config = Ingest(source="fake://900?classes=12&shape=5x9", shard_size=200)
    ingest(config, tmp_path / "one")
    again = ingest(Ingest(source=str(tmp_path / "one")), tmp_path / "two")
    assert again.image_shape == (5, 9)
    assert len(again.class_names) == 12
    for split in again.splits:
        one, two = read(tmp_path / "one", split), read(tmp_path / "two", split)
        assert np.array_equal(one[0], two[0])
        assert np.array_equal(one[1], two[1])


def test_other_features_by_their_names(tmp_path: Path) -> None:
    records = [
        record(**{"image/encoded": jpeg(image), "image/class/text": b"dog" if n % 2 else b"cat"})
        for n, image in enumerate(IMAGES[:20])
    ]
    write(tmp_path / "a", records)
    with pytest.raises(StepError, match="no feature image with an image; --image-column names"):
        read_all(Ingest(source=str(tmp_path / "a")), tmp_path)
    config = Ingest(
        source=str(tmp_path / "a"),
        image_column="image/encoded",
        label_column="image/class/text",
        class_names="cat,dog",
    )
    _, found = read_all(config, tmp_path)
    assert found.labels.tolist() == [0, 1] * 10


def test_bad_records_are_rejected_each_with_its_reason(tmp_path: Path) -> None:
    good = record(image=png(IMAGES[0]), label=7)
    records = [
        good,
        b"\xff\xff no Example",
        record(image=png(IMAGES[0])),
        record(label=3),
        record(image=png(IMAGES[0])[:200], label=3),
        record(image=[0.5] * 784, label=3),
        record(image=[300] * 784, label=3),
        good,
    ]
    path = tmp_path / "a"
    write(path, records)
    content = bytearray(path.read_bytes())
    content[-30] ^= 1  # in the last record
    path.write_bytes(content)
    _, found = read_all(Ingest(source=str(path)), tmp_path)
    assert [record.reason for record in found.unreadable] == [
        "no tf.train.Example",
        "no label",
        "no feature image with an image; --image-column names another",
        "damaged picture (OSError)",
        "pixels of float64 from 0.5 to 0.5, expected 0 to 255; --grey converts",
        "pixels of int64 from 300 to 300, expected 0 to 255; --grey converts",
        "damaged record (its checksum differs)",
    ]
    assert found.labels.tolist() == [7]


def test_a_file_that_is_cut_short_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "a", [record(image=png(IMAGES[0]), label=7)] * 3)
    content = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(content[:-1])
    with pytest.raises(StepError, match="a: ends within record 2; fetch it again"):
        read_all(Ingest(source=str(tmp_path / "a")), tmp_path)
    size = len(content) // 3
    (tmp_path / "a").write_bytes(content[:size] + struct.pack("<Q", 1 << 60) + content[size + 8 :])
    with pytest.raises(StepError, match=f"a: damaged TFRecord at byte {size}; fetch it again"):
        read_all(Ingest(source=str(tmp_path / "a")), tmp_path)


def test_examples_are_read_as_tensorflow_reads_them() -> None:
    values = {"a": [b"x", b""], "b": [1, -(1 << 63)], "c": [0.5, 2.0]}
    assert parse_example(record(**values)) == values
    assert parse_example(b"\x0a") is None
