"""Reading a split's TFRecord shards with tf.data."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from components.shared.errors import StepError
from components.shared.manifests import Dataset
from components.shared.records import CLASSES, IMAGE_SHAPE, PIXELS

# Records read at a time. Each thread's heap keeps the room that its batches took, and evaluations
# use ever new threads: with larger batches a long run's memory grows by some hundred MiB.
READ_BATCH = 1_000

FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
}


def parse(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Parses a batch of serialized Examples.

    Args:
        serialized: string ``[batch]``.

    Returns:
        images: uint8 ``[batch, 28, 28]``.
        labels: int32 ``[batch]``.

    Raises:
        tf.errors.InvalidArgumentError: A record is no Example of this schema.
    """
    features = tf.io.parse_example(serialized, FEATURES)
    pixels = tf.io.decode_raw(features["image"], tf.uint8, fixed_length=PIXELS)
    labels = tf.cast(features["label"], tf.int32)
    tf.debugging.assert_less(labels, CLASSES)
    return tf.reshape(pixels, [-1, *IMAGE_SHAPE]), labels


def read_split(files: list[str], batch_size: int = READ_BATCH) -> tf.data.Dataset:
    """Reads a split once, in order, the last batch as short as it comes.

    Returns:
        A dataset of ``(images, labels)`` as :func:`parse` gives them.
    """
    records = tf.data.TFRecordDataset(files, buffer_size=1 << 20)
    return records.batch(batch_size).map(parse, tf.data.AUTOTUNE).prefetch(1)


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
