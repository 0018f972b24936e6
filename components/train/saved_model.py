"""The SavedModel: the trained network with the signatures it is served by."""

import shutil
from collections.abc import Sequence
from math import prod
from pathlib import Path

import tensorflow as tf
from tensorflow.python.framework.ops import uid

from components.shared.records import ImageShape
from components.train.checkpoints import writing
from components.train.networks import mlp
from components.train.networks.network import Logits, Tensors, of_greys

# TensorFlow puts into a function's name how many things its process has made before: more than any
# training makes, so that a model has the same bytes whether it was trained at once, went on from a
# checkpoint or was over already.
FIRST_NUMBER = 100_000
MLP = of_greys(mlp.logits)  # of grey values from 0 to 1


class Classifier(tf.Module):
    """The network as it is served: loaded again, it can be called with images."""

    def __init__(
        self, weights: Tensors, image_shape: ImageShape, logits: Logits, extra: Tensors
    ) -> None:
        super().__init__()
        self._image_shape = image_shape
        self._logits = logits
        self.weights = [tf.Variable(value, trainable=False) for value in weights]
        self.extra = [tf.Variable(value, trainable=False) for value in extra]

    @tf.function(autograph=False)
    def __call__(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies uint8 images ``[batch, height, width]``.

        Of another shape, they are refused: TensorFlow Serving compares no shapes, and reshaping
        would make other images of them.
        """
        images = tf.ensure_shape(images, [None, *self._image_shape])
        logits, _ = self._logits(self.weights, self.extra, images, False)
        return {
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "class": tf.argmax(logits, axis=1),
        }

    @tf.function(autograph=False)
    def examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies serialized ``tf.train.Example`` records ``[batch]``; they need no label."""
        image = tf.io.FixedLenFeature([], tf.string)
        images = tf.io.parse_example(examples, {"image": image})["image"]
        pixels = tf.io.decode_raw(images, tf.uint8)
        pixels = tf.ensure_shape(pixels, [None, prod(self._image_shape)])
        return self(tf.reshape(pixels, [-1, *self._image_shape]))


def export(
    weights: Tensors,
    image_shape: ImageShape,
    directory: Path,
    logits: Logits = MLP,
    extra: Sequence[tf.Tensor] = (),
) -> None:
    """Writes a SavedModel with the signatures ``serving_default`` and ``examples``.

    Args:
        weights: Those of the network.
        image_shape: Height and width of the images.
        directory: Where it goes.
        logits: Of uint8 images.
        extra: The network's other values.

    Raises:
        StepError: It cannot be written.
    """
    while uid() < FIRST_NUMBER:
        pass
    classifier = Classifier(weights, image_shape, logits, list(extra))
    images = tf.TensorSpec([None, *image_shape], tf.uint8, "images")
    examples = tf.TensorSpec([None], tf.string, "examples")
    signatures = {
        "serving_default": classifier.__call__.get_concrete_function(images),
        "examples": classifier.examples.get_concrete_function(examples),
    }
    with writing(directory):
        tf.saved_model.save(classifier, str(directory), signatures=signatures)
        # TensorFlow does not say where it could not remove this.
        shutil.rmtree(directory / "variables" / "variables_temp", ignore_errors=True)
