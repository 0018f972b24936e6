"""The learning rate of a step, and the optimizers: what each keeps of a weight, and its direction.

A step moves a weight by the learning rate times a direction. An optimizer's function takes the
factors, a weight, its gradient, the values of the slots that the optimizer keeps of it, and the
step's number from 1 on; it returns the direction and the new values of the slots.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import tensorflow as tf

from components.config import Train

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7  # of Adam; the last as Keras has it

# Of Muon: its polynomial's, and how often it is applied.
COEFFICIENTS, ITERATIONS = (3.4445, -4.7750, 2.0315), 3


class Factors(NamedTuple):
    """What a step multiplies by: float32 scalars, None where one is off.

    They are inputs of the compiled loop and not part of it, so that trainings which differ in them
    alone, as those of a search do, can use the same one.
    """

    learning_rate: tf.Tensor
    momentum: tf.Tensor
    weight_decay: tf.Tensor | None
    average: tf.Tensor
    label_smoothing: tf.Tensor | None

    @classmethod
    def of(cls, config: Train) -> Self:
        """Takes them from a configuration."""
        return cls(
            tf.constant(config.learning_rate),
            tf.constant(config.momentum_share),
            tf.constant(config.weight_decay) if config.weight_decay else None,
            tf.constant(config.average),
            tf.constant(config.label_smoothing) if config.label_smoothing else None,
        )


Directed = tuple[tf.Tensor, list[tf.Tensor]]
Direction = Callable[[Factors, tf.Tensor, tf.Tensor, Sequence[tf.Tensor], tf.Tensor], Directed]


def _as_they_are(bands: list[tf.Tensor]) -> list[tf.Tensor]:
    return bands


class Optimizer(NamedTuple):
    """An optimizer: the slots it keeps of every weight, zeros at step 0, and its direction."""

    slots: tuple[str, ...]
    direction: Direction
    # What becomes of a weight's direction as a whole, given as one tensor or as bands of its rows.
    whole: Callable[[list[tf.Tensor]], list[tf.Tensor]] = _as_they_are


def learning_rate(config: Train, factors: Factors, step: tf.Tensor) -> tf.Tensor:
    """Returns the learning rate of a step, float32 scalar.

    Source of the cosine: Loshchilov and Hutter, "SGDR", 2017, without restarts; it begins after
    the warm-up, of which see Goyal et al., "Accurate, large minibatch SGD", 2017.
    """
    warmup, step = config.warmup_steps, tf.cast(step, tf.float32)
    full = factors.learning_rate
    progress = (step - warmup) / (config.max_steps - warmup)
    if config.decay == "none":
        rate = full
    elif config.decay == "linear":
        rate = full * (1 - progress)
    else:
        rate = full * 0.5 * (1 + tf.cos(math.pi * progress))
    if not warmup:
        return rate
    return tf.where(step < warmup, full * (step + 1) / warmup, rate)


def _sgd(
    factors: Factors,
    weight: tf.Tensor,
    gradient: tf.Tensor,
    _: Sequence[tf.Tensor],
    __: tf.Tensor,
) -> Directed:
    return _decayed(factors, weight, gradient), []


def _momentum(
    factors: Factors,
    weight: tf.Tensor,
    gradient: tf.Tensor,
    slots: Sequence[tf.Tensor],
    _: tf.Tensor,
) -> Directed:
    """Source: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964."""
    [velocity] = slots
    velocity = factors.momentum * velocity + _decayed(factors, weight, gradient)
    return velocity, [velocity]


def _muon(
    factors: Factors,
    weight: tf.Tensor,
    gradient: tf.Tensor,
    slots: Sequence[tf.Tensor],
    number: tf.Tensor,
) -> Directed:
    """Momentum as Nesterov has it; of a matrix, orthogonalized as a whole.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
    """
    velocity, slots = _momentum(factors, weight, gradient, slots, number)
    return _decayed(factors, weight, gradient) + factors.momentum * velocity, slots


def orthogonalize(bands: list[tf.Tensor]) -> list[tf.Tensor]:
    """Brings the singular values of a matrix close to 1, by Newton-Schulz iterations.

    All is done to the square of its columns' products, which is small and the sum over its bands.

    Args:
        bands: One tensor, or bands of its rows; of more than two dimensions, all but the last are
            one. A vector is left as it is.
    """
    if bands[0].shape.rank < 2:
        return bands
    matrices = [tf.reshape(band, [-1, band.shape[-1]]) for band in bands]
    square = tf.add_n([tf.matmul(part, part, transpose_a=True) for part in matrices])
    norm = tf.sqrt(tf.linalg.trace(square)) + EPSILON
    square /= norm**2
    factor = change = _polynomial(square)
    for _ in range(ITERATIONS - 1):
        square = square @ change @ change
        change = _polynomial(square)
        factor @= change
    factor /= norm
    return [
        tf.reshape(part @ factor, band.shape) for part, band in zip(matrices, bands, strict=True)
    ]


def _polynomial(square: tf.Tensor) -> tf.Tensor:
    a, b, c = COEFFICIENTS
    return a * tf.eye(square.shape[0]) + b * square + c * (square @ square)


def _adam(
    factors: Factors,
    weight: tf.Tensor,
    gradient: tf.Tensor,
    slots: Sequence[tf.Tensor],
    number: tf.Tensor,
) -> Directed:
    """Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1."""
    gradient = _decayed(factors, weight, gradient)
    return _adam_direction(gradient, slots, number)


def _adamw(
    factors: Factors,
    weight: tf.Tensor,
    gradient: tf.Tensor,
    slots: Sequence[tf.Tensor],
    number: tf.Tensor,
) -> Directed:
    """Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2."""
    direction, slots = _adam_direction(gradient, slots, number)
    return _decayed(factors, weight, direction), slots


def _decayed(factors: Factors, weight: tf.Tensor, change: tf.Tensor) -> tf.Tensor:
    """Adds weight decay: to a gradient, as that of half the weight's square in the loss."""
    return change if factors.weight_decay is None else change + factors.weight_decay * weight


def _adam_direction(gradient: tf.Tensor, slots: Sequence[tf.Tensor], number: tf.Tensor) -> Directed:
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
    "muon": Optimizer(("velocity",), _muon, orthogonalize),
}


def open_optimizer(config: Train) -> Optimizer:
    """Returns the optimizer that a configuration names; ``sgd`` may have momentum too."""
    with_momentum = config.optimizer == "sgd" and config.momentum
    return _OPTIMIZERS["momentum" if with_momentum else config.optimizer]
