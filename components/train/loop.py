"""Many steps in one compiled function: the training loop without Python in it.

Loops are written as TensorFlow's: AutoGraph takes as long to look for Python's as XLA to compile.
"""

from collections.abc import Callable, Iterable

import tensorflow as tf

from components.config import Train
from components.shared.manifests import Score
from components.shared.records import ImageShape
from components.train import model
from components.train.batches import Block, Minibatch, images_of
from components.train.model import State, Values
from components.train.networks.network import Network, Tensors, on_gpu
from components.train.optimizers import Factors, learning_rate

Figures = dict[str, tf.Tensor]  # loss, gradient_norm, learning_rate: float32 scalars
Steps = Callable[[Block], Figures]  # takes one step a batch; figures of the last


def compile_steps(
    config: Train, image_shape: ImageShape, state: State, strategy: tf.distribute.Strategy
) -> Steps:
    """Compiles the loop that trains on a block of batches, for one device or several."""
    if strategy.num_replicas_in_sync == 1:
        return _one_device(config, image_shape, state)
    return _replicas(config, image_shape, state, strategy)


def compiled(config: Train, network: Network) -> bool:
    """Whether XLA compiles the network: on a CPU it makes some, of convolutions, slower."""
    return config.xla and (network.xla_on_cpu or on_gpu())


def _gradients(
    config: Train,
    factors: Factors,
    image_shape: ImageShape,
    network: Network,
    values: Values,
    block: Block,
    batch: Minibatch,
) -> tuple[tf.Tensor, Tensors, Tensors]:
    """Returns the loss over a batch of a block, its gradients, and the extra values after it."""
    images = images_of(config, block, batch, image_shape, compiled(config, network))
    with tf.GradientTape() as tape:
        tape.watch(values.weights)
        logits, extra = network.logits(values.weights, values.extra, images, True)
        loss = model.loss(logits, tf.gather(block.labels, batch.rows), factors.label_smoothing)
    return loss, tape.gradient(loss, values.weights), extra


def _values(state: State) -> Values:
    return tf.nest.map_structure(lambda variable: variable.value(), state.variables)


def _assign(state: State, values: Values) -> None:
    for variable, value in zip(*map(tf.nest.flatten, (state.variables, values)), strict=True):
        variable.assign(value)


def _map_weights(change: Callable[[Tensors], Tensors], values: Values) -> Values:
    """Changes the form of the weights, and of all that has their shapes."""
    slots = [change(slot) for slot in values.slots]
    average = change(values.average) if values.average else []
    return Values(change(values.weights), values.extra, slots, average)


def _one_device(config: Train, image_shape: ImageShape, state: State) -> Steps:
    """XLA turns the whole loop into one function: weights and batches never leave it.

    The last step's gradients do, since only their norm is wanted: compiled, it would take a pass
    over the gradients of every step, or as long to compile as a tenth of all the rest.
    """
    network = state.network

    @tf.function(jit_compile=compiled(config, network), autograph=False)
    def steps(block: Block, factors: Factors) -> tuple[tf.Tensor, Tensors, tf.Tensor]:
        batches = block.order.shape[0]
        start = tf.cast(state.global_step.value(), tf.int32)

        def step(
            batch: tf.Tensor, values: Values, *_: object
        ) -> tuple[tf.Tensor, Values, tf.Tensor, Tensors]:
            loss, gradients, extra = _gradients(
                config, factors, image_shape, network, values, block, block.batch(batch)
            )
            rate = learning_rate(config, factors, start + batch)
            after = model.training(config, factors, values, gradients, rate, start + batch)
            return batch + 1, after._replace(extra=extra), loss, gradients

        values = _map_weights(network.to_loop, _values(state))
        none = tf.nest.map_structure(tf.zeros_like, values.weights)
        _, values, loss, gradients = tf.while_loop(
            lambda batch, *_: batch < batches, step, (0, values, 0.0, none)
        )
        _assign(state, _map_weights(network.from_loop, values))
        state.global_step.assign_add(batches)
        rate = learning_rate(config, factors, start + batches - 1)
        return loss, gradients, rate

    def figures(block: Block) -> Figures:
        loss, gradients, rate = steps(block, factors)
        return {"loss": loss, "gradient_norm": _norm(gradients), "learning_rate": rate}

    factors = Factors.of(config)
    return figures


def _norm(gradients: Tensors) -> tf.Tensor:
    return tf.linalg.global_norm(tf.nest.flatten(gradients))


def _replicas(
    config: Train, image_shape: ImageShape, state: State, strategy: tf.distribute.Strategy
) -> Steps:
    """Each replica takes its share of every batch; their mean gradients are applied by all.

    Of a network's extra values, the means are taken of those that are float32, such as moving
    averages; others, such as the seed of a dropout, are the same in all replicas.
    """
    here = len(strategy.extended.worker_devices)
    network, (weights, extra, *_) = state.network, state.variables
    reduced = [place for place, value in enumerate(extra) if value.dtype == tf.float32]
    shapes = [part.shape for part in (*weights, *(extra[place] for place in reduced))]
    sizes = [shape.num_elements() for shape in shapes]

    @tf.function(jit_compile=compiled(config, network), autograph=False)
    def share(values: Values, block: Block, batch: Minibatch) -> tuple[tf.Tensor, Tensors]:
        banded = values._replace(weights=network.to_loop(values.weights))
        factors = Factors.of(config)
        loss, gradients, extra = _gradients(
            config, factors, image_shape, network, banded, block, batch
        )
        # One vector, since every reduction between workers costs a round trip.
        parts = [*network.from_loop(gradients), *(extra[place] for place in reduced), loss]
        return tf.concat([tf.reshape(part, [-1]) for part in parts], 0), extra

    def replica(block: Block, batch: tf.Tensor) -> tuple[tf.Tensor, Tensors]:
        replica_here = tf.distribute.get_replica_context().replica_id_in_sync_group % here
        return share(_values(state), block, block.batch(batch).part(replica_here, here))

    def step(block: Block, batch: tf.Tensor) -> Figures:
        shares, extra = strategy.run(replica, (block, batch))
        mean = strategy.reduce(tf.distribute.ReduceOp.MEAN, shares, axis=None)
        *flat, loss = tf.split(mean, [*sizes, 1])
        factors = Factors.of(config)
        rate = learning_rate(config, factors, state.global_step)
        means = [tf.reshape(part, shape) for part, shape in zip(flat, shapes, strict=True)]
        gradients, means = means[: len(weights)], means[len(weights) :]
        extra = [strategy.experimental_local_results(value)[0] for value in extra]
        for place, value in zip(reduced, means, strict=True):
            extra[place] = value
        after = model.training(config, factors, _values(state), gradients, rate, state.global_step)
        _assign(state, after._replace(extra=extra))
        state.global_step.assign_add(1)
        norm = _norm(gradients)
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
    """Compiles the evaluation of a split, every example counted once.

    On a CPU without XLA, which takes longer to compile it than all evaluations of a run take.
    """
    network = state.network

    @tf.function(jit_compile=on_gpu(), autograph=False)
    def tally(
        weights: Tensors, extra: Tensors, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        logits, _ = network.logits(weights, extra, images, False)
        return model.evaluation(logits, labels), model.loss(logits, labels)

    def score(split: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> Score:
        weights, extra = state.answering
        examples, correct, loss = 0, 0, 0.0
        for images, labels in split:
            hits, mean = tally(weights, extra, images, labels)
            examples, correct = examples + len(labels), correct + int(hits)
            loss += float(mean) * len(labels)
        return Score(examples=examples, correct=correct, loss=loss / max(examples, 1))

    return score
