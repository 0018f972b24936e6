"""Loss, training and evaluation, as TensorFlow Mechanics 101 has them, and what training changes.

The tutorial's ``inference`` is the network's, see networks/. Source: TensorFlow Mechanics 101,
``mnist.py``.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import tensorflow as tf

from components.config import Train
from components.train.networks.mlp import variables  # noqa: F401 - where 0.2.0 had it
from components.train.networks.network import Network, Tensors
from components.train.optimizers import Factors, open_optimizer


class Values(NamedTuple):
    """All that a step changes, but for its number: as tensors, or as the variables that hold it."""

    weights: Tensors
    extra: Tensors  # of the network, such as moving averages
    slots: list[Tensors]  # of the optimizer, each of the weights' shapes
    average: Tensors  # of the weights over the steps; empty without --average


@dataclass(frozen=True)
class State:
    """The variables of a run. Everything random follows from the seed and ``global_step``."""

    network: Network
    variables: Values
    best: Tensors  # what is to be exported of the best evaluation; empty without --patience
    best_correct: tf.Variable  # int64 scalars: its correct answers on validation; -1 before it
    best_step: tf.Variable
    worse: tf.Variable  # evaluations since
    global_step: tf.Variable  # int64 scalar: steps taken

    @classmethod
    def initial(cls, config: Train, network: Network) -> Self:
        """Creates the state of a run at step 0."""
        weights, extra = network.weights, network.extra
        slots = [
            [tf.Variable(tf.zeros_like(weight), name=slot) for weight in weights]
            for slot in open_optimizer(config).slots
        ]
        average = _copies(weights) if config.average else []
        best = _copies([*weights, *extra]) if config.patience else []
        return cls(
            network,
            Values(weights, extra, slots, average),
            best,
            best_correct=tf.Variable(-1, dtype=tf.int64),
            best_step=tf.Variable(0, dtype=tf.int64),
            worse=tf.Variable(0, dtype=tf.int64),
            global_step=tf.Variable(0, name="global_step", dtype=tf.int64),
        )

    @property
    def step(self) -> int:
        """Steps taken."""
        return int(self.global_step.numpy())

    @property
    def answering(self) -> tuple[Tensors, Tensors]:
        """Weights and extra variables that are evaluated and exported, as they are now.

        The weights are their average, where there is one.
        """
        weights = self.variables.average or self.variables.weights
        return _now(weights), _now(self.variables.extra)

    def keep_if_best(self, correct: int) -> None:
        """Keeps what got so many examples of validation right, if they are the most so far."""
        if correct > int(self.best_correct.numpy()):
            weights, extra = self.answering
            for variable, value in zip(self.best, [*weights, *extra], strict=True):
                variable.assign(value)
            self.best_correct.assign(correct)
            self.best_step.assign(self.global_step.numpy())
            self.worse.assign(0)
        else:
            self.worse.assign_add(1)

    def go_back_to_best(self) -> None:
        """Puts back what answered at the best evaluation, and its step."""
        weights = self.variables.average or self.variables.weights
        for variable, value in zip([*weights, *self.variables.extra], self.best, strict=True):
            variable.assign(value.numpy())
        self.global_step.assign(self.best_step.numpy())


def _copies(originals: list[tf.Variable]) -> list[tf.Variable]:
    return [tf.Variable(variable.value()) for variable in originals]


def _now(originals: list[tf.Variable]) -> Tensors:
    return [tf.constant(variable.numpy()) for variable in originals]


def loss(logits: tf.Tensor, labels: tf.Tensor, smoothing: tf.Tensor | None = None) -> tf.Tensor:
    """Computes the mean sparse softmax cross-entropy, in nats, over the batch.

    Args:
        logits: float32 ``[batch, classes]``.
        labels: int32 ``[batch]``.
        smoothing: Share of the label's probability that is dealt out among all classes. Source:
            Szegedy et al., "Rethinking the Inception architecture", 2016, section 7.
    """
    mean = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    if smoothing is None:
        return mean
    return (1 - smoothing) * mean - smoothing * tf.reduce_mean(tf.nn.log_softmax(logits))


def training(
    config: Train,
    factors: Factors,
    values: Values,
    gradients: Tensors,
    rate: tf.Tensor,
    step: tf.Tensor,
) -> Values:
    """Returns the values after one step of the optimizer, and of the average of the weights.

    Args:
        config: Names the optimizer.
        factors: Of it and of the average.
        values: Those before it; extra values are left as they are.
        gradients: Of the weights.
        rate: The learning rate.
        step: Steps taken before, int32 or int64 scalar.
    """
    optimizer = open_optimizer(config)
    weights: Tensors = []
    slots: list[Tensors] = [[] for _ in values.slots]
    for weight, gradient, *kept in zip(values.weights, gradients, *values.slots, strict=True):
        # A weight is a tensor, or several in the form of the loop.
        parts = zip(*map(tf.nest.flatten, (weight, gradient, *kept)), strict=True)
        directed = [
            optimizer.direction(factors, part, its_gradient, now, step + 1)
            for part, its_gradient, *now in parts
        ]
        directions = optimizer.whole([direction for direction, _ in directed])
        moved = [
            part - rate * direction
            for part, direction in zip(tf.nest.flatten(weight), directions, strict=True)
        ]
        weights.append(tf.nest.pack_sequence_as(weight, moved))
        for place, slot in enumerate(slots):
            after = [now[place] for _, now in directed]
            slot.append(tf.nest.pack_sequence_as(weight, after))
    average = tf.nest.map_structure(
        lambda average, weight: factors.average * average + (1 - factors.average) * weight,
        values.average,
        weights if values.average else [],
    )
    return Values(weights, values.extra, slots, average)


def evaluation(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Counts the examples whose most probable class is the label, int32 scalar."""
    predicted = tf.argmax(logits, axis=1, output_type=tf.int32)
    return tf.reduce_sum(tf.cast(predicted == labels, tf.int32))
