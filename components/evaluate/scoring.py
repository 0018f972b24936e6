"""Runs a SavedModel over a split: every example once, in one pass, a batch at a time."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.shared.errors import StepError
from components.shared.examples import FEATURES, READ_BATCH, at_once, parse
from components.shared.manifests import Dataset
from components.shared.records import ImageShape

BATCH = 5_000
PARSERS = 2  # small batches parsed at a time
READY = 2  # batches held ready while the model runs
TOLERANCE = 1e-3  # by which probabilities may miss a sum of 1
MISSING = {tf.int64: np.iinfo(np.int64).min, tf.string: b""}  # a feature that a record lacks

Probabilities = npt.NDArray[np.float32]  # [batch, classes]
Classifier = Callable[[npt.NDArray[np.uint8] | tf.Tensor], Probabilities]


class Batch(NamedTuple):
    """Consecutive examples of a split, and what the model says of them."""

    split: str
    start: int  # position of the first in the split, from 0
    images: npt.NDArray[np.uint8]  # [batch, height, width]
    labels: npt.NDArray[np.int32]  # [batch]
    probabilities: Probabilities
    extras: dict[str, npt.NDArray]  # further features by name, [batch]

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The most probable class, the lowest where several are, int64 ``[batch]``."""
        return self.probabilities.argmax(axis=1)


class Observer(Protocol):
    """What looks at every batch of a split as it passes."""

    def add(self, batch: Batch) -> None:
        """Takes in a batch."""


def load(directory: Path, image_shape: ImageShape, classes: int) -> tf.Module:
    """Loads a SavedModel that classifies images.

    Args:
        directory: Of the SavedModel.
        image_shape: Height and width of the images it must take.
        classes: How many classes it must tell apart.

    Raises:
        StepError: The directory is no SavedModel, or its ``serving_default`` has another signature.
    """
    try:
        loaded = tf.saved_model.load(str(directory))
    except (OSError, ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise StepError(f"{directory}: no SavedModel ({reason}); run train first") from None
    if "serving_default" not in loaded.signatures:
        found = ", ".join(loaded.signatures) or "none"
        raise StepError(f"{directory}: signatures {found}, expected serving_default among them")
    signature = loaded.signatures["serving_default"]
    inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
    _check_tensor(directory, "input", inputs, "images", [None, *image_shape], tf.uint8)
    _check_tensor(directory, "output", outputs, "probabilities", [None, classes], tf.float32)
    return loaded


def _check_tensor(
    directory: Path,
    kind: str,
    tensors: dict[str, tf.TensorSpec],
    name: str,
    shape: list[int | None],
    dtype: tf.DType,
) -> None:
    found = tensors.get(name)
    if found is not None and found.dtype == dtype and found.shape.is_compatible_with(shape):
        return
    told = ", ".join(f"{n}: {t.dtype.name} {t.shape.as_list()}" for n, t in tensors.items())
    raise StepError(
        f"{directory}: serving_default has the {kind} {told or 'none'}, "
        f"expected {name}: {dtype.name} {shape}"
    )


def classifier(model: tf.Module, name: str) -> Classifier:
    """Returns the function from images, uint8 ``[batch, height, width]``, to probabilities.

    The function raises a StepError where what the model gives is no distribution over the classes.

    Args:
        model: As :func:`load` gives it.
        name: What to call the model in an error.
    """
    signature = model.signatures["serving_default"]

    def classify(images: npt.NDArray[np.uint8] | tf.Tensor) -> Probabilities:
        # A reference to the model, since the signature alone does not keep its variables alive.
        _ = model
        probabilities = signature(images=tf.convert_to_tensor(images))["probabilities"].numpy()
        off = np.abs(probabilities.sum(axis=1) - 1)
        if not (probabilities.min() >= 0 and off.max() <= TOLERANCE):  # so that NaN is off too
            raise StepError(
                f"{name}: gives {_list(probabilities[off.argmax()])} for an image, expected "
                "probabilities of the classes that sum to 1; train it anew"
            )
        return probabilities

    return classify


def _list(probabilities: npt.NDArray[np.float32]) -> str:
    more = f", … {len(probabilities) - 10} more" if len(probabilities) > 10 else ""
    return "[" + ", ".join(f"{p:.3g}" for p in probabilities[:10]) + more + "]"


Read = tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]  # images, labels, further features


def read(dataset: Dataset, examples: Path, split: str) -> Iterator[Read]:
    """Reads a split in batches, in the order of its shards.

    Args:
        dataset: The manifest in ``examples``.
        examples: The directory that ingest wrote.
        split: Which split.

    Raises:
        StepError: The split has no examples or cannot be read.
    """
    expected = dataset.splits[split].records
    if not expected:
        raise StepError(f"{examples}: the {split} split is empty, expected examples to score")
    found = 0
    try:
        records = tf.data.TFRecordDataset(dataset.files(examples, split), buffer_size=1 << 20)
        features = _extra_features(next(records.take(1).as_numpy_iterator()))
        shape = dataset.image_shape
        parse_batch = partial(
            _parse, image_shape=shape, classes=len(dataset.class_names), features=features
        )
        batches = records.batch(at_once(shape, READ_BATCH)).map(parse_batch, PARSERS)
        for batch in batches.rebatch(at_once(shape, BATCH)).prefetch(READY):
            found += len(batch[1])
            yield batch
    except (tf.errors.OpError, StopIteration) as error:
        reason = (str(error) or "no records").splitlines()[0]
        raise StepError(
            f"{examples}: the {split} split is unreadable ({reason}); ingest anew"
        ) from None
    if found != expected:
        raise StepError(
            f"{examples}: the {split} split has {found} records, {Dataset.FILE} says {expected}; "
            "ingest anew"
        )


def score(classify: Classifier, split: str, batches: Iterable[Read]) -> Iterator[Batch]:
    """Yields a split's batches with what a model says of them."""
    start = 0
    for images, labels, extras in batches:
        said = classify(images)
        columns = {name: column.numpy() for name, column in extras.items()}
        yield Batch(split, start, images.numpy(), labels.numpy(), said, columns)
        start += len(labels)


def _extra_features(record: bytes) -> dict[str, tf.DType]:
    """Names the features of a record, beside image and label, that one can cut slices by."""
    features = tf.train.Example.FromString(record).features.feature
    kinds = {"int64_list": tf.int64, "bytes_list": tf.string}
    found = {}
    for name in sorted(features.keys() - FEATURES.keys()):
        kind = features[name].WhichOneof("kind")
        if kind in kinds and len(getattr(features[name], kind).value) == 1:
            found[name] = kinds[kind]
    return found


def _parse(
    serialized: tf.Tensor, image_shape: ImageShape, classes: int, features: dict[str, tf.DType]
) -> Read:
    images, labels = parse(serialized, image_shape, classes)
    if not features:
        return images, labels, {}
    columns = {
        name: tf.io.FixedLenFeature([], kind, MISSING[kind]) for name, kind in features.items()
    }
    return images, labels, tf.io.parse_example(serialized, columns)
