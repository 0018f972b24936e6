"""Any Keras model, from a function ``build(image_shape, classes)`` in a file of one's own."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from components.config import Train
from components.shared.errors import StepError
from components.shared.records import ImageShape
from components.train.networks.network import Network, Tensors


def create(
    config: Train,
    image_shape: ImageShape,
    classes: int,
    build: Callable[[ImageShape, int], Any],
) -> Network:
    """Builds the model, its weights drawn by the configuration's seed.

    Args:
        config: How to train.
        image_shape: Height and width of the images.
        classes: How many there are.
        build: Returns a ``keras.Model`` of images ``[batch, height, width]``, or with a channel at
            the end, that answers with logits ``[batch, classes]``.

    Raises:
        StepError: What it returns is not such a model.
    """
    import keras

    keras.utils.set_random_seed(config.seed)
    model = build(image_shape, classes)
    _check(model, image_shape, classes, config.network)
    with_channel = len(model.input_shape) == len(image_shape) + 2

    def logits(
        weights: Tensors, extra: Tensors, images: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, Tensors]:
        inputs = images[..., tf.newaxis] if with_channel else images
        outputs, after = model.stateless_call(weights, extra, inputs, training=training)
        return tf.cast(outputs, tf.float32), list(after)

    convolutions = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    return Network(
        [variable.value for variable in model.trainable_variables],
        logits,
        [variable.value for variable in model.non_trainable_variables],
        xla_on_cpu=not any(isinstance(part, convolutions) for part in model._flatten_layers()),
    )


def _check(model: Any, image_shape: ImageShape, classes: int, name: str) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise StepError(
            f"--network {name}: returned {type(model).__name__}, expected a keras.Model"
        )
    height, width = image_shape
    shapes = {(None, height, width), (None, height, width, 1)}
    if model.input_shape not in shapes or model.output_shape != (None, classes):
        raise StepError(
            f"--network {name}: a model from {model.input_shape} to {model.output_shape}, expected "
            f"(None, {height}, {width}) or (None, {height}, {width}, 1) to (None, {classes})"
        )
    if getattr(model.layers[-1], "activation", None) is keras.activations.softmax:
        raise StepError(
            f"--network {name}: the last layer is a softmax, expected logits; leave its activation "
            "out"
        )
