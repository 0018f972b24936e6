"""Many steps in one compiled function: the training loop without Python in it.

Loops are written as TensorFlow's: AutoGraph takes as long to look for Python's as XLA to compile.
"""

import itertools
import math
from collections.abc import Callable, Iterable

import tensorflow as tf

from components.config import Train
from components.shared.manifests import Score
from components.shared.records import ImageShape
from components.train import model
from components.train.batches import Block, cut
from components.train.model import State

Figures = dict[str, tf.Tensor]  # loss, gradient_norm, learning_rate: float32 scalars
Norm = Callable[[model.Weights], tf.Tensor]  # of gradients, float32 scalar
Steps = Callable[[Block], Figures]  # takes one step a batch; figures of the last


def learning_rate(config: Train, step: tf.Tensor) -> tf.Tensor:
    """Returns the learning rate of a step, float32 scalar.

    Source of the cosine: Loshchilov and Hutter, "SGDR", 2017, without restarts.
    """
    if config.decay == "none":
        return tf.constant(config.learning_rate)
    progress = tf.cast(step, tf.float32) / config.max_steps
    return config.learning_rate * 0.5 * (1 + tf.cos(math.pi * progress))


def compile_steps(
    config: Train, image_shape: ImageShape, state: State, strategy: tf.distribute.Strategy
) -> Steps:
    """Compiles the loop that trains on a block of batches, for one device or several."""
    if strategy.num_replicas_in_sync == 1:
        return _one_device(config, image_shape, state)
    return _replicas(config, image_shape, state, strategy)


def in_bands(weights: model.Weights, number: int) -> model.Weights:
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


def whole(weights: model.Weights) -> model.Weights:
    """Undoes :func:`in_bands`."""
    bands, *others = weights
    return [tf.concat(bands, 0), *others]


def _bands() -> int:
    return 1 if _on_gpu() else 2


def _on_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


def _gradients(
    config: Train,
    image_shape: ImageShape,
    weights: model.Weights,
    block: Block,
    rows: tf.Tensor,
    shift: tf.Tensor,
) -> tuple[tf.Tensor, model.Weights]:
    """Returns the loss over some rows of a block, and its gradients."""
    images = cut(block.images, rows, shift, image_shape, config)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        logits = model.inference(weights, model.normalize(images, config.precision))
        loss = model.loss(logits, tf.gather(block.labels, rows))
    return loss, tape.gradient(loss, weights)


def _values(state: State) -> model.Parameters:
    return [[variable.value() for variable in part] for part in state.parameters]


def _assign(state: State, parameters: model.Parameters) -> None:
    for variables, values in zip(state.parameters, parameters, strict=True):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _one_device(config: Train, image_shape: ImageShape, state: State) -> Steps:
    """XLA turns the whole loop into one function: weights and batches never leave it.

    Only the last step's gradient norm is wanted, and each takes a pass over the gradients. On a CPU
    the step chooses; a GPU would wait for its host to do so, and gets the last step compiled apart.
    """
    apart = _on_gpu()

    @tf.function(jit_compile=config.xla, autograph=False)
    def steps(block: Block) -> Figures:
        batches = block.order.shape[0]
        start = tf.cast(state.global_step.value(), tf.int32)

        def step(
            batch: tf.Tensor, parameters: model.Parameters, norm: Norm
        ) -> tuple[model.Parameters, tf.Tensor, tf.Tensor]:
            rows, shift = block.order[batch], block.shifts[batch]
            loss, gradients = _gradients(config, image_shape, parameters[0], block, rows, shift)
            rate = learning_rate(config, start + batch)
            return model.training(config, parameters, gradients, rate), loss, norm(gradients)

        def body(
            batch: tf.Tensor, parameters: model.Parameters, _: tf.Tensor, before: tf.Tensor
        ) -> tuple[tf.Tensor, model.Parameters, tf.Tensor, tf.Tensor]:
            def norm(gradients: model.Weights) -> tf.Tensor:
                last = batch == batches - 1
                return tf.cond(last, lambda: _norm(gradients), lambda: before)

            return batch + 1, *step(batch, parameters, (lambda _: before) if apart else norm)

        parameters = [in_bands(part, _bands()) for part in _values(state)]
        _, parameters, loss, norm = tf.while_loop(
            lambda batch, *_: batch < batches - apart, body, (0, parameters, 0.0, 0.0)
        )
        if apart:
            parameters, loss, norm = step(batches - 1, parameters, _norm)
        _assign(state, [whole(part) for part in parameters])
        state.global_step.assign_add(batches)
        rate = learning_rate(config, start + batches - 1)
        return {"loss": loss, "gradient_norm": norm, "learning_rate": rate}

    return steps


def _norm(gradients: model.Weights) -> tf.Tensor:
    return tf.linalg.global_norm(tf.nest.flatten(gradients))


def _replicas(
    config: Train, image_shape: ImageShape, state: State, strategy: tf.distribute.Strategy
) -> Steps:
    """Each replica takes its share of every batch; their mean gradients are applied by all."""
    here = len(strategy.extended.worker_devices)

    shapes = [variable.shape for variable in state.variables]
    sizes = [shape.num_elements() for shape in shapes]

    @tf.function(jit_compile=config.xla, autograph=False)
    def share(weights: model.Weights, block: Block, rows: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
        banded = in_bands(weights, _bands())
        loss, gradients = _gradients(config, image_shape, banded, block, rows, shift)
        # One vector, since every reduction between workers costs a round trip.
        parts = tf.nest.flatten([gradients, loss])
        return tf.concat([tf.reshape(part, [-1]) for part in parts], 0)

    def replica(block: Block, batch: tf.Tensor) -> tf.Tensor:
        replica_here = tf.distribute.get_replica_context().replica_id_in_sync_group % here
        rows = tf.reshape(block.order[batch], [here, -1])[replica_here]
        weights = [variable.value() for variable in state.variables]
        return share(weights, block, rows, block.shifts[batch])

    def step(block: Block, batch: tf.Tensor) -> Figures:
        shares = strategy.run(replica, (block, batch))
        mean = strategy.reduce(tf.distribute.ReduceOp.MEAN, shares, axis=None)
        *flat, loss = tf.split(mean, [*sizes, 1])
        rate = learning_rate(config, state.global_step)
        gradients = [tf.reshape(part, shape) for part, shape in zip(flat, shapes, strict=True)]
        _assign(state, model.training(config, _values(state), gradients, rate))
        state.global_step.assign_add(1)
        norm = _norm(flat)
        return {"loss": loss[0], "gradient_norm": norm, "learning_rate": rate}

    @tf.function(autograph=False)
    def steps(block: Block) -> Figures:
        batches = block.order.shape[0]
        _, figures = tf.while_loop(
            lambda batch, _: batch < batches,
            lambda batch, _: (batch + 1, step(block, batch)),
            (0, dict.fromkeys(("loss", "gradient_norm", "learning_rate"), 0.0)),
        )
        return figures

    return steps


def compile_score(state: State) -> Callable[[Iterable[tuple[tf.Tensor, tf.Tensor]]], Score]:
    """Compiles the evaluation of a split, every example counted once."""

    @tf.function(jit_compile=True, autograph=False)
    def tally(
        weights: model.Weights, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        logits = model.inference(weights, model.normalize(images))
        return model.evaluation(logits, labels), model.loss(logits, labels)

    def score(split: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> Score:
        weights = state.weights
        examples, correct, loss = 0, 0, 0.0
        for images, labels in split:
            hits, mean = tally(weights, images, labels)
            examples, correct = examples + len(labels), correct + int(hits)
            loss += float(mean) * len(labels)
        return Score(examples=examples, correct=correct, loss=loss / max(examples, 1))

    return score
