"""A small convolutional network: batch normalization, dropout, and nothing that is not here.

Sources: LeCun et al., "Gradient-based learning applied to document recognition", 1998; Ioffe and
Szegedy, "Batch normalization", 2015; Srivastava et al., "Dropout", 2014.
"""

import math

import tensorflow as tf

from components.config import Train
from components.shared.records import ImageShape
from components.train.networks.network import Network, Tensors

CHANNELS = (24, 48, 64)  # of the 3 x 3 convolutions, each before a maximum of 2 x 2
UNITS = 128  # of the layer between the convolutions and the logits
DROPOUT = 0.4  # share of those units that a step leaves out
MOMENTUM = 0.95  # of the moving averages of batch normalization
EPSILON = 1e-3  # that it adds to a variance


def create(config: Train, image_shape: ImageShape, classes: int) -> Network:
    """Creates it, with kernels drawn from normals with a variance of 2 / fan_in (He et al., 2015).

    Its extra variables are the dropout's seed, and mean and variance of each normalized layer.
    """
    height, width = (math.ceil(side / 2 ** len(CHANNELS)) for side in image_shape)
    channels = (1, *CHANNELS)
    shapes = [
        *([3, 3, before, after] for before, after in zip(channels, CHANNELS, strict=False)),
        [height * width * CHANNELS[-1], UNITS],
        [UNITS, classes],
    ]
    weights, extra = [], [tf.Variable([config.seed, 0], name="dropout_seed")]
    for layer, shape in enumerate(shapes):
        stddev = math.sqrt(2 / math.prod(shape[:-1]))
        kernel = tf.random.stateless_truncated_normal(shape, [config.seed, layer], stddev=stddev)
        weights.append(tf.Variable(kernel, name=f"kernel{layer}"))
        weights.append(tf.Variable(tf.zeros(shape[-1:]), name=f"offset{layer}"))
        if layer < len(shapes) - 1:
            weights.append(tf.Variable(tf.ones(shape[-1:]), name=f"scale{layer}"))
            extra.append(tf.Variable(tf.zeros(shape[-1:]), name=f"mean{layer}"))
            extra.append(tf.Variable(tf.ones(shape[-1:]), name=f"variance{layer}"))
    return Network(weights, logits, extra, xla_on_cpu=False)


def logits(
    weights: Tensors, extra: Tensors, images: tf.Tensor, training: bool
) -> tuple[tf.Tensor, Tensors]:
    """Computes the logits; see :class:`components.train.networks.network.Network`."""
    seed, *averages = extra
    after: Tensors = []  # the averages, after a step
    units = images[..., tf.newaxis]
    for layer in range(len(CHANNELS) + 1):
        kernel, offset, scale = weights[3 * layer :][:3]
        kernel = tf.cast(kernel, units.dtype)
        if layer < len(CHANNELS):
            units = tf.nn.conv2d(units, kernel, strides=1, padding="SAME")
            units = tf.nn.max_pool2d(units, 2, strides=2, padding="SAME")
        else:
            units = tf.reshape(units, [-1, kernel.shape[0]]) @ kernel
            units = units[:, tf.newaxis, tf.newaxis]
        # By mean and variance of the batch in training, which the averages follow, else by these.
        units, *moved = tf.compat.v1.nn.fused_batch_norm(
            *(units, scale, offset, *averages[2 * layer :][:2], EPSILON),
            is_training=training,
            exponential_avg_factor=1 - MOMENTUM,
        )
        units = tf.nn.relu(units)
        after += moved
    units = units[:, 0, 0]
    if training:
        units = tf.nn.experimental.stateless_dropout(units, DROPOUT, seed)
        seed = seed + [0, 1]  # noqa: RUF005 (a sum of tensors)
    kernel, offset = (tf.cast(w, units.dtype) for w in weights[-2:])
    return tf.cast(units @ kernel + offset, tf.float32), [seed, *after]
