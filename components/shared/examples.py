"""Reading a split's TFRecord shards with tf.data."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import tensorflow as tf

from components.shared.errors import StepError
from components.shared.manifests import Dataset
from components.shared.records import ImageShape

# Records read at a time. Each thread's heap keeps the room that its batches took, and evaluations
# use ever new threads: with larger batches a long run's memory grows by some hundred MiB.
READ_BATCH = 1_000

PIXELS_AT_ONCE = 4 << 20  # so that memory does not grow with the size of images

FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
}


def at_once(image_shape: ImageShape, most: int) -> int:
    """Returns how many examples to work on at once: fewer than ``most`` where they are large."""
    return max(1, min(most, PIXELS_AT_ONCE // prod(image_shape)))


def parse(
    serialized: tf.Tensor, image_shape: ImageShape, classes: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Parses a batch of serialized Examples.

    Args:
        serialized: string ``[batch]``.
        image_shape: Height and width of the images.
        classes: How many classes there are.

    Returns:
        images: uint8 ``[batch, height, width]``.
        labels: int32 ``[batch]``.

    Raises:
        tf.errors.InvalidArgumentError: A record is no Example of this schema.
    """
    features = tf.io.parse_example(serialized, FEATURES)
    labels = tf.cast(features["label"], tf.int32)
    tf.debugging.assert_less(labels, classes)
    return _decode(features["image"], image_shape), labels


def parse_images(serialized: tf.Tensor, image_shape: ImageShape) -> tf.Tensor:
    """Parses the images alone, as :func:`parse` does; the Examples need no label."""
    features = tf.io.parse_example(serialized, {"image": FEATURES["image"]})
    return _decode(features["image"], image_shape)


def _decode(images: tf.Tensor, image_shape: ImageShape) -> tf.Tensor:
    pixels = tf.ensure_shape(tf.io.decode_raw(images, tf.uint8), [None, prod(image_shape)])
    return tf.reshape(pixels, [-1, *image_shape])


def read_split(
    files: list[str], image_shape: ImageShape, classes: int, batch_size: int = READ_BATCH
) -> tf.data.Dataset:
    """Reads a split once, in order, the last batch as short as it comes.

    Returns:
        A dataset of ``(images, labels)`` as :func:`parse` gives them.
    """
    records = tf.data.TFRecordDataset(files, buffer_size=1 << 20)
    batches = records.batch(at_once(image_shape, batch_size))
    parsed = batches.map(lambda batch: parse(batch, image_shape, classes), tf.data.AUTOTUNE)
    return parsed.prefetch(1)


@contextmanager
def blaming_shards(dataset: Dataset, directory: Path) -> Iterator[None]:
    """Names the shard at fault where TensorFlow fails to read a dataset.

    Raises:
        StepError: A shard is missing or is not the one that ingest wrote.
    """
    try:
        yield
    except tf.errors.OpError:
        for shard in (shard for split in dataset.splits.values() for shard in split.shards):
            path = directory / shard.file
            if not path.is_file():
                raise StepError(f"{path}: not found; run ingest again") from None
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != shard.sha256:
                raise StepError(
                    f"{path}: damaged, its sha256 is {found}, expected {shard.sha256}; "
                    "run ingest again"
                ) from None
        raise
