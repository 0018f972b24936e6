"""What training changes, and a checkpoint holds."""

from dataclasses import dataclass
from math import prod
from typing import Self

import tensorflow as tf

from components.config import Train
from components.shared.records import ImageShape
from components.train import model


@dataclass(frozen=True)
class State:
    """The variables of a run. Everything random follows from the seed and ``global_step``."""

    variables: list[tf.Variable]  # weights and biases, layer by layer
    slots: list[list[tf.Variable]]  # what the optimizer keeps beside each of them
    global_step: tf.Variable  # int64 scalar: steps taken

    @classmethod
    def initial(cls, config: Train, image_shape: ImageShape, classes: int) -> Self:
        """Creates the state of a run at step 0."""
        units = (prod(image_shape), *config.hidden_units, classes)
        variables = model.variables(units, config.seed)
        return cls(
            variables,
            model.slots(config, variables),
            tf.Variable(0, name="global_step", dtype=tf.int64),
        )

    @property
    def step(self) -> int:
        """Steps taken."""
        return int(self.global_step.numpy())

    @property
    def parameters(self) -> list[list[tf.Variable]]:
        """All that a step changes, as :func:`components.train.model.training` takes it."""
        return [self.variables, *self.slots]

    @property
    def weights(self) -> model.Weights:
        """The values of the variables, on this worker, as they are now."""
        return [tf.constant(variable.numpy()) for variable in self.variables]
