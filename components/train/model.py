"""The network: inference, loss, training and evaluation, as TensorFlow Mechanics 101 has them.

Source: TensorFlow Mechanics 101, ``mnist.py``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import tensorflow as tf

from components.config import Train
from components.shared.records import ImageShape

# Weights and biases, layer by layer: tf.Tensor or tf.Variable. Those of hidden1 may be a list: see
# loop.in_bands.
Weights = list[Any]
# The weights; then, of the same shapes, each thing that the optimizer keeps from step to step.
Parameters = list[Weights]


def variables(units: Sequence[int], seed: int) -> list[tf.Variable]:
    """Creates the variables ``hidden1/weights``, ``hidden1/biases``, … ``softmax_linear/biases``.

    Weights are drawn from a truncated normal with a standard deviation of 1/√fan_in; biases are 0.

    Args:
        units: Pixels of an image, units of each hidden layer, classes.
        seed: Of the weights; each layer has its own draw.
    """
    scopes = [*(f"hidden{number}" for number in range(1, len(units) - 1)), "softmax_linear"]
    created = []
    for layer, (scope, fan_in, fan_out) in enumerate(zip(scopes, units, units[1:], strict=False)):
        with tf.name_scope(scope):
            weights = tf.random.stateless_truncated_normal(
                [fan_in, fan_out], seed=[seed, layer], stddev=1 / math.sqrt(fan_in)
            )
            created.append(tf.Variable(weights, name="weights"))
            created.append(tf.Variable(tf.zeros([fan_out]), name="biases"))
    return created


def normalize(images: tf.Tensor, precision: str = "float32") -> tf.Tensor:
    """Turns uint8 images into the network's input, 0 to 1, of the type matrices are multiplied in.

    Args:
        images: uint8 ``[batch, height, width]``.
        precision: ``float32`` or ``bfloat16``.
    """
    return tf.cast(images, precision) / 255


def inference(weights: Weights, images: tf.Tensor) -> tf.Tensor:
    """Computes the logits.

    Args:
        weights: float32, layer by layer.
        images: float32 or bfloat16 ``[batch, height, width]``, 0 to 1; matrices are multiplied in
            their type.

    Returns:
        float32 ``[batch, classes]``.
    """
    units = tf.reshape(images, [-1, math.prod(images.shape[1:])])
    weights = tf.nest.map_structure(lambda weight: tf.cast(weight, units.dtype), weights)
    *hidden, (last_weights, last_biases) = zip(weights[::2], weights[1::2], strict=True)
    for number, (layer_weights, layer_biases) in enumerate(hidden, start=1):
        with tf.name_scope(f"hidden{number}"):
            units = tf.nn.relu(_product(units, layer_weights) + layer_biases)
    with tf.name_scope("softmax_linear"):
        return tf.cast(units @ last_weights + last_biases, tf.float32)


def _product(units: tf.Tensor, weights: tf.Tensor | list[tf.Tensor]) -> tf.Tensor:
    """Multiplies units with weights, or band by band where they are in bands of their rows."""
    bands = tf.nest.flatten(weights)
    parts = tf.split(units, [band.shape[0] for band in bands], axis=1)
    return tf.add_n([part @ band for part, band in zip(parts, bands, strict=True)])


def loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Computes the mean sparse softmax cross-entropy, in nats, over the batch."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def slots(config: Train, weights: list[tf.Variable]) -> list[list[tf.Variable]]:
    """Creates what the optimizer keeps from step to step, at step 0: with momentum, velocities."""
    if not config.momentum:
        return []
    return [[tf.Variable(tf.zeros_like(weight), name="velocity") for weight in weights]]


def training(
    config: Train, parameters: Parameters, gradients: Weights, learning_rate: tf.Tensor
) -> Parameters:
    """Returns the parameters after one step of gradient descent, plain or with momentum.

    Source of momentum: Polyak, "Some methods of speeding up the convergence of iteration methods",
    1964.
    """
    each = tf.nest.map_structure
    weights, *kept = parameters
    directions = gradients
    if config.momentum:
        [velocities] = kept
        directions = each(lambda v, g: config.momentum * v + g, velocities, gradients)
        kept = [directions]
    return [each(lambda w, d: w - learning_rate * d, weights, directions), *kept]


def evaluation(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Counts the examples whose most probable class is the label, int32 scalar."""
    predicted = tf.argmax(logits, axis=1, output_type=tf.int32)
    return tf.reduce_sum(tf.cast(predicted == labels, tf.int32))


@dataclass(frozen=True)
class State:
    """The variables of a run. Everything random follows from the seed and ``global_step``."""

    variables: list[tf.Variable]  # weights and biases, layer by layer
    slots: list[list[tf.Variable]]  # what the optimizer keeps beside each of them
    global_step: tf.Variable  # int64 scalar: steps taken

    @classmethod
    def initial(cls, config: Train, image_shape: ImageShape, classes: int) -> Self:
        """Creates the state of a run at step 0."""
        units = (math.prod(image_shape), *config.hidden_units, classes)
        weights = variables(units, config.seed)
        return cls(
            weights,
            slots(config, weights),
            tf.Variable(0, name="global_step", dtype=tf.int64),
        )

    @property
    def step(self) -> int:
        """Steps taken."""
        return int(self.global_step.numpy())

    @property
    def parameters(self) -> list[list[tf.Variable]]:
        """All that a step changes, as :func:`training` takes it."""
        return [self.variables, *self.slots]

    @property
    def weights(self) -> Weights:
        """The values of the variables, on this worker, as they are now."""
        return [tf.constant(variable.numpy()) for variable in self.variables]
