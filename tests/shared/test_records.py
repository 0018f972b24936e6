"""The record format, against TensorFlow's own reader and writer."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from components.shared.records import (
    MAX_CLASSES,
    Images,
    ImageShape,
    Labels,
    decode,
    encode,
    examples,
    record_length,
)


@pytest.fixture(scope="module")
def digits() -> tuple[Images, Labels]:
    return _draw((28, 28), 10)


def _draw(image_shape: ImageShape, classes: int, count: int = 50) -> tuple[Images, Labels]:
    generator = np.random.default_rng(0)
    images = generator.integers(256, size=(count, *image_shape), dtype=np.uint8)
    return images, (np.arange(count)[::-1] % classes).astype(np.uint8)


def _tensorflow_file(path: Path, images: Images, labels: Labels) -> bytes:
    """The same records, written by TensorFlow."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for image, label in zip(images, labels, strict=True):
            features = {
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString(deterministic=True))
    return path.read_bytes()


SHAPES = (
    *((28, 28), (1, 1), (1, 2), (8, 8), (1, 107), (9, 12), (1, 127), (8, 16), (32, 32), (100, 60)),
    *((127, 129), (128, 128), (256, 1), (256, 256)),
)


# Lengths in a record take one byte more from 128 and from 16,384 on, and others before.
@pytest.mark.parametrize("image_shape", SHAPES)
def test_bytes_are_those_of_tensorflow(image_shape: ImageShape, tmp_path: Path) -> None:
    records = _draw(image_shape, MAX_CLASSES, count=MAX_CLASSES)
    assert encode(*records) == _tensorflow_file(tmp_path / "written", *records)


def test_tensorflow_reads_every_record(digits: tuple[Images, Labels], tmp_path: Path) -> None:
    path = tmp_path / "shard"
    path.write_bytes(encode(*digits))
    serialized = list(tf.data.TFRecordDataset(str(path)))
    kinds = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }
    features = [tf.io.parse_single_example(one, kinds) for one in serialized]
    assert [one["image"].numpy() for one in features] == [image.tobytes() for image in digits[0]]
    assert [int(one["label"]) for one in features] == digits[1].tolist()


def test_serialized_examples_are_the_records_of_a_file(
    digits: tuple[Images, Labels], tmp_path: Path
) -> None:
    path = tmp_path / "shard"
    path.write_bytes(encode(*digits))
    assert examples(*digits) == [one.numpy() for one in tf.data.TFRecordDataset(str(path))]
    assert path.stat().st_size == len(digits[1]) * record_length((28, 28))


def test_records_of_another_form_are_no_images(digits: tuple[Images, Labels]) -> None:
    data = bytearray(encode(*digits))
    data[3 * record_length((28, 28)) + 20] ^= 1
    with pytest.raises(ValueError, match="records of another form"):
        decode(bytes(data), (28, 28))


def test_no_records_are_no_bytes() -> None:
    assert encode(np.empty((0, 28, 28), np.uint8), np.empty(0, np.uint8)) == b""


@settings(max_examples=30, deadline=None)
@given(
    data=st.data(),
    count=st.integers(0, 5),
    image_shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    surplus=st.integers(0, 30),
)
def test_decode_gives_what_was_encoded(
    data: st.DataObject, count: int, image_shape: ImageShape, surplus: int
) -> None:
    images = data.draw(arrays(np.uint8, (count, *image_shape)))
    labels = data.draw(arrays(np.uint8, count, elements=st.integers(0, MAX_CLASSES - 1)))
    decoded = decode(encode(images, labels) + bytes(surplus), image_shape)
    assert np.array_equal(decoded[0], images)
    assert np.array_equal(decoded[1], labels)
