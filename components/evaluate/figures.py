"""Scores a SavedModel on a split: every example once, in one pass."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.shared.errors import StepError
from components.shared.examples import read_split
from components.shared.manifests import SplitEvaluation
from components.shared.records import CLASSES

BATCH = 5_000


class Predictions(NamedTuple):
    """What a model says of a split, example by example."""

    labels: npt.NDArray[np.int32]  # [examples]
    probabilities: npt.NDArray[np.float32]  # [examples, 10]

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The most probable class, int64 ``[examples]``."""
        return self.probabilities.argmax(axis=1)


def load_signature(model: Path) -> tf.types.experimental.ConcreteFunction:
    """Loads the signature ``serving_default`` of a SavedModel.

    Raises:
        StepError: The directory is no SavedModel or lacks the signature.
    """
    try:
        loaded = tf.saved_model.load(str(model))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise StepError(f"{model}: no SavedModel ({error}); run train first") from None
    if "serving_default" not in loaded.signatures:
        found = ", ".join(loaded.signatures) or "none"
        raise StepError(f"{model}: signatures {found}, expected serving_default among them")
    signature = loaded.signatures["serving_default"]
    signature.model = loaded  # the signature alone does not keep the variables alive
    return signature


def predict(signature: tf.types.experimental.ConcreteFunction, files: list[str]) -> Predictions:
    """Runs a model over a split's shards.

    Raises:
        StepError: The model gives something other than finite probabilities.
    """
    labels, probabilities = [], []
    for batch_images, batch_labels in read_split(files, BATCH):
        labels.append(batch_labels.numpy())
        probabilities.append(signature(images=batch_images)["probabilities"].numpy())
    predictions = Predictions(np.concatenate(labels), np.concatenate(probabilities))
    if not np.isfinite(predictions.probabilities).all():
        raise StepError("the model gives probabilities that are not finite; train it anew")
    return predictions


def figures(predictions: Predictions) -> SplitEvaluation:
    """Computes a split's figures from what the model says of it."""
    confusion = np.zeros((CLASSES, CLASSES), np.int64)
    np.add.at(confusion, (predictions.labels, predictions.predicted), 1)
    examples, correct = int(confusion.sum()), int(confusion.trace())
    return SplitEvaluation(
        examples=examples,
        correct=correct,
        precision_at_1=correct / examples,
        confusion=confusion.tolist(),
    )
