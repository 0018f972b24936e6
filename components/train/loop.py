"""Many steps in one compiled function: the training loop without Python in it."""

import math
from collections.abc import Callable

import tensorflow as tf

from components.shared.manifests import Score
from components.shared.records import IMAGE_SHAPE
from components.train import model
from components.train.batches import Block
from components.train.state import State
from pipeline.config import Train

HEIGHT, WIDTH = IMAGE_SHAPE


def learning_rate(config: Train, step: tf.Tensor) -> tf.Tensor:
    """Returns the learning rate of a step, float32 scalar.

    Source of the cosine: Loshchilov and Hutter, "SGDR", 2017, without restarts.
    """
    if config.decay == "none":
        return tf.constant(config.learning_rate)
    progress = tf.cast(step, tf.float32) / config.max_steps
    return config.learning_rate * 0.5 * (1 + tf.cos(math.pi * progress))


def compile_steps(config: Train, state: State) -> Callable[[Block], dict[str, tf.Tensor]]:
    """Compiles the loop that trains on a block of batches.

    XLA turns the whole loop into one function: the weights stay in it from step to step, and
    batches are gathered from the block's images by index. The variables are assigned once, at the
    end.

    Returns:
        A function of a block, which takes one step a batch and returns the ``loss``,
        ``gradient_norm`` and ``learning_rate`` of the last step, float32 scalars.
    """

    def step(
        block: Block, batch: tf.Tensor, number: tf.Tensor, weights: model.Weights
    ) -> tuple[model.Weights, dict[str, tf.Tensor]]:
        images = crop(tf.gather(block.images, block.order[batch]), block.shifts[batch])
        labels = tf.gather(block.labels, block.order[batch])
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = model.loss(model.inference(weights, images), labels)
        gradients = tape.gradient(loss, weights)
        rate = learning_rate(config, number)
        trained = model.training(weights, gradients, rate)
        return trained, {
            "loss": loss,
            "gradient_norm": tf.linalg.global_norm(gradients),
            "learning_rate": rate,
        }

    @tf.function(jit_compile=True)
    def steps(block: Block) -> dict[str, tf.Tensor]:
        count = block.order.shape[0]
        start = state.global_step.value()
        weights = [v.value() for v in state.variables]
        # The last step is taken outside the loop: only its figures are wanted.
        _, weights = tf.while_loop(
            lambda batch, _: batch < count - 1,
            lambda batch, w: (batch + 1, step(block, batch, start + batch, w)[0]),
            (0, weights),
            maximum_iterations=count - 1,
        )
        weights, figures = step(block, count - 1, start + count - 1, weights)
        for variable, value in zip(state.variables, weights, strict=True):
            variable.assign(value)
        state.global_step.assign_add(count)
        return figures

    return steps


def compile_score(state: State) -> Callable[[tf.data.Dataset], Score]:
    """Compiles the evaluation of a split, every example counted once."""

    @tf.function(jit_compile=True)
    def correct(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return model.evaluation(model.inference(state.variables, images), labels)

    def score(split: tf.data.Dataset) -> Score:
        counts = [(len(labels), int(correct(images, labels))) for images, labels in split]
        examples, hits = zip(*counts, strict=True)
        return Score(examples=sum(examples), correct=sum(hits))

    return score


def crop(padded: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Cuts images out of padded ones, all at the same offset.

    Args:
        padded: uint8 ``[batch, 28 + 2·radius, 28 + 2·radius]``.
        shift: int32 scalar, which of the (2·radius + 1)² offsets, row by row.

    Returns:
        uint8 ``[batch, 28, 28]``.
    """
    offsets = padded.shape[1] - HEIGHT + 1

    def crop_at(top: int, left: int) -> Callable[[], tf.Tensor]:
        return lambda: padded[:, top : top + HEIGHT, left : left + WIDTH]

    # Cutting at a computed offset would make XLA copy the whole data set before the loop; between
    # constant offsets it chooses for free.
    cuts = [crop_at(top, left) for top in range(offsets) for left in range(offsets)]
    return cuts[0]() if len(cuts) == 1 else tf.switch_case(shift, cuts)
