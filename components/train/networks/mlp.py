"""The multilayer perceptron of TensorFlow Mechanics 101.

Source: TensorFlow Mechanics 101, ``mnist.py``.
"""

import itertools
import math
from collections.abc import Sequence

import tensorflow as tf

from components.config import Train
from components.shared.records import ImageShape
from components.train.networks.network import Network, Tensors, on_gpu

LENGTH = 10.0  # of a standardized image as a vector, whatever its number of pixels


def create(config: Train, image_shape: ImageShape, classes: int) -> Network:
    """Creates it: hidden layers as ``--hidden`` says, ReLU, and a linear layer of logits.

    A step of gradient descent moves hidden1's units by the learning rate times the square of an
    image's length: of one length, images of any size are learned at the same rate.
    """
    pixels = math.prod(image_shape)
    number = 1 if on_gpu() else 2
    return Network(
        variables((pixels, *config.hidden_units, classes), config.seed),
        logits,
        scale=LENGTH / math.sqrt(pixels),
        to_loop=lambda weights: in_bands(weights, number),
        from_loop=whole,
    )


def logits(
    weights: Tensors, extra: Tensors, images: tf.Tensor, training: bool
) -> tuple[tf.Tensor, Tensors]:
    """Computes the logits; see :class:`components.train.networks.network.Network`."""
    return inference(weights, images), extra


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


def inference(weights: Tensors, images: tf.Tensor) -> tf.Tensor:
    """Computes the logits.

    Args:
        weights: float32, layer by layer.
        images: float32 or bfloat16 ``[batch, height, width]``; matrices are multiplied in their
            type.

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


def in_bands(weights: Tensors, number: int) -> Tensors:
    """Cuts hidden1's weights into those of bands of pixels of nearly equal size.

    On a CPU, XLA computes side by side what does not depend on each other. The products of the
    pixels are nearly all of the work; of two halves of them, each core has one, with its weights.
    """
    weights1, *others = weights
    pixels = weights1.shape[0]
    number = min(number, pixels)
    ends = [pixels * band // number for band in range(number + 1)]
    sizes = [end - start for start, end in itertools.pairwise(ends)]
    return [tf.split(weights1, sizes), *others]


def whole(weights: Tensors) -> Tensors:
    """Undoes :func:`in_bands`."""
    bands, *others = weights
    return [tf.concat(bands, 0), *others]
