"""The network: inference, loss, training and evaluation, as TensorFlow Mechanics 101 has them.

Source: TensorFlow Mechanics 101, ``mnist.py``.
"""

import math
from collections.abc import Sequence

import tensorflow as tf

from components.config import Train

Weights = list[tf.Tensor]  # or tf.Variable: weights and biases, layer by layer
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
    """Turns images into the network's input.

    Args:
        images: uint8 ``[batch, height, width]``, or a band of their pixels ``[batch, pixels]``.
        precision: What matrices are multiplied in: ``float32`` or ``bfloat16``.

    Returns:
        Of that type, ``[batch, pixels]``, 0 to 1.
    """
    return tf.cast(tf.reshape(images, [-1, math.prod(images.shape[1:])]), precision) / 255


def bands(pixels: int, number: int) -> list[slice]:
    """Cuts an image's pixels into so many bands of nearly equal size, none of them empty."""
    number = min(number, pixels)
    return [slice(pixels * i // number, pixels * (i + 1) // number) for i in range(number)]


def split(weights: Weights, bands: Sequence[slice]) -> Weights:
    """Splits hidden1's weights into those of bands of pixels."""
    weights1, *others = weights
    return [*(weights1[band] for band in bands), *others]


def join(weights: Weights, bands: Sequence[slice]) -> Weights:
    """Undoes :func:`split`."""
    return [tf.concat(weights[: len(bands)], 0), *weights[len(bands) :]]


def inference(weights: Weights, *bands: tf.Tensor) -> tf.Tensor:
    """Computes the logits.

    Args:
        weights: float32, layer by layer; hidden1's split into as many bands as there are.
        bands: float32 or bfloat16, 0 to 1; matrices are multiplied in their type. One of all pixels
            ``[batch, pixels]``, or several that lie side by side.

    Returns:
        float32 ``[batch, classes]``.
    """
    weights = [tf.cast(weight, bands[0].dtype) for weight in weights]
    weights1, (biases1, *deeper) = weights[: len(bands)], weights[len(bands) :]
    with tf.name_scope("hidden1"):
        products = [band @ part for band, part in zip(bands, weights1, strict=True)]
        units = tf.nn.relu(tf.add_n(products) + biases1)
    *hidden, (last_weights, last_biases) = zip(deeper[::2], deeper[1::2], strict=True)
    for number, (layer_weights, layer_biases) in enumerate(hidden, start=2):
        with tf.name_scope(f"hidden{number}"):
            units = tf.nn.relu(units @ layer_weights + layer_biases)
    with tf.name_scope("softmax_linear"):
        return tf.cast(units @ last_weights + last_biases, tf.float32)


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
    weights, *kept = parameters
    directions = gradients
    if config.momentum:
        [velocities] = kept
        directions = [config.momentum * v + g for v, g in zip(velocities, gradients, strict=True)]
        kept = [directions]
    return [[w - learning_rate * d for w, d in zip(weights, directions, strict=True)], *kept]


def evaluation(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Counts the examples whose most probable class is the label, int32 scalar."""
    predicted = tf.argmax(logits, axis=1, output_type=tf.int32)
    return tf.reduce_sum(tf.cast(predicted == labels, tf.int32))
