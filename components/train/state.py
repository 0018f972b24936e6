"""What training changes, and a checkpoint holds."""

from dataclasses import dataclass
from typing import Self

import tensorflow as tf

from components.train import model
from pipeline.config import Train


@dataclass(frozen=True)
class State:
    """The variables of a run. Everything random follows from the seed and ``global_step``."""

    variables: list[tf.Variable]
    global_step: tf.Variable  # int32 scalar: steps taken

    @classmethod
    def initial(cls, config: Train) -> Self:
        """Creates the state of a run at step 0."""
        return cls(
            model.variables(config.hidden1, config.hidden2, config.seed),
            tf.Variable(0, name="global_step"),
        )

    @property
    def step(self) -> int:
        """Steps taken."""
        return int(self.global_step)
