"""The learning rate of a step, and the optimizers: what each keeps of a weight, and its step.

An optimizer's step takes the configuration, a weight, its gradient, the values of the slots that
the optimizer keeps of it, the learning rate and the step's number from 1 on; it returns the new
weight and the new values of the slots.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from components.config import Train

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7  # of Adam; the last as Keras has it

Stepped = tuple[tf.Tensor, list[tf.Tensor]]
Step = Callable[[Train, tf.Tensor, tf.Tensor, Sequence[tf.Tensor], tf.Tensor, tf.Tensor], Stepped]


class Optimizer(NamedTuple):
    """An optimizer: the slots it keeps of every weight, zeros at step 0, and its step."""

    slots: tuple[str, ...]
    step: Step


def learning_rate(config: Train, step: tf.Tensor) -> tf.Tensor:
    """Returns the learning rate of a step, float32 scalar.

    Source of the cosine: Loshchilov and Hutter, "SGDR", 2017, without restarts; it begins after
    the warm-up, of which see Goyal et al., "Accurate, large minibatch SGD", 2017.
    """
    warmup, step = config.warmup_steps, tf.cast(step, tf.float32)
    if config.decay == "none":
        rate = tf.constant(config.learning_rate)
    else:
        progress = (step - warmup) / (config.max_steps - warmup)
        rate = config.learning_rate * 0.5 * (1 + tf.cos(math.pi * progress))
    if not warmup:
        return rate
    return tf.where(step < warmup, config.learning_rate * (step + 1) / warmup, rate)


def _sgd(
    config: Train,
    weight: tf.Tensor,
    gradient: tf.Tensor,
    _: Sequence[tf.Tensor],
    rate: tf.Tensor,
    __: tf.Tensor,
) -> Stepped:
    return weight - rate * _with_penalty(config, weight, gradient), []


def _momentum(
    config: Train,
    weight: tf.Tensor,
    gradient: tf.Tensor,
    slots: Sequence[tf.Tensor],
    rate: tf.Tensor,
    _: tf.Tensor,
) -> Stepped:
    """Source: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964."""
    [velocity] = slots
    velocity = config.momentum_share * velocity + _with_penalty(config, weight, gradient)
    return weight - rate * velocity, [velocity]


def _adam(
    config: Train,
    weight: tf.Tensor,
    gradient: tf.Tensor,
    slots: Sequence[tf.Tensor],
    rate: tf.Tensor,
    number: tf.Tensor,
) -> Stepped:
    """Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1."""
    gradient = _with_penalty(config, weight, gradient)
    direction, slots = _adam_direction(gradient, slots, number)
    return weight - rate * direction, slots


def _adamw(
    config: Train,
    weight: tf.Tensor,
    gradient: tf.Tensor,
    slots: Sequence[tf.Tensor],
    rate: tf.Tensor,
    number: tf.Tensor,
) -> Stepped:
    """Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2."""
    direction, slots = _adam_direction(gradient, slots, number)
    return weight - rate * (direction + config.weight_decay * weight), slots


def _with_penalty(config: Train, weight: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of the loss with ``weight_decay / 2`` times the weight's square."""
    return gradient + config.weight_decay * weight if config.weight_decay else gradient


def _adam_direction(gradient: tf.Tensor, slots: Sequence[tf.Tensor], number: tf.Tensor) -> Stepped:
    mean, square = slots
    mean = BETA1 * mean + (1 - BETA1) * gradient
    square = BETA2 * square + (1 - BETA2) * gradient**2
    number = tf.cast(number, tf.float32)
    unbiased = mean / (1 - BETA1**number), square / (1 - BETA2**number)
    return unbiased[0] / (tf.sqrt(unbiased[1]) + EPSILON), [mean, square]


_OPTIMIZERS = {
    "sgd": Optimizer((), _sgd),
    "momentum": Optimizer(("velocity",), _momentum),
    "adam": Optimizer(("mean", "square"), _adam),
    "adamw": Optimizer(("mean", "square"), _adamw),
}


def open_optimizer(config: Train) -> Optimizer:
    """Returns the optimizer that a configuration names; ``sgd`` may have momentum too."""
    return _OPTIMIZERS["momentum" if config.momentum_share else config.optimizer]
