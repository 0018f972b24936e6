"""The network of TensorFlow Mechanics 101."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from components.config import Train
from components.train import model


def test_variables_have_the_tutorials_names_and_shapes() -> None:
    created = model.variables((784, 128, 32, 10), seed=0)
    assert [(variable.name.split(":")[0], tuple(variable.shape)) for variable in created] == [
        ("hidden1/weights", (784, 128)),
        ("hidden1/biases", (128,)),
        ("hidden2/weights", (128, 32)),
        ("hidden2/biases", (32,)),
        ("softmax_linear/weights", (32, 10)),
        ("softmax_linear/biases", (10,)),
    ]


@pytest.mark.parametrize("hidden", [(16,), (16, 8), (16, 8, 4), (16, 8, 4, 2)])
def test_there_are_as_many_hidden_layers_as_numbers(hidden: tuple[int, ...]) -> None:
    created = model.variables((784, *hidden, 10), seed=0)
    weights = {variable.name.split("/")[0]: tuple(variable.shape) for variable in created[::2]}
    assert list(weights) == [f"hidden{n + 1}" for n in range(len(hidden))] + ["softmax_linear"]
    assert list(weights.values()) == list(itertools.pairwise((784, *hidden, 10)))
    assert model.inference(created, tf.zeros([3, 28, 28])).shape == (3, 10)


def test_weights_of_a_layer_are_drawn_by_the_seed_and_its_place() -> None:
    created = model.variables((784, 128, 32, 10), seed=3)
    for place, weights in enumerate(created[::2]):
        stddev = 1 / math.sqrt(weights.shape[0])
        drawn = tf.random.stateless_truncated_normal(weights.shape, [3, place], stddev=stddev)
        np.testing.assert_array_equal(weights, drawn)


def test_weights_are_truncated_normal_by_fan_in_and_biases_zero() -> None:
    created = model.variables((784, 800, 400, 10), seed=1)
    for weights, biases in zip(created[::2], created[1::2], strict=True):
        limit = 1 / np.sqrt(weights.shape[0])
        values = weights.numpy()
        assert np.abs(values).max() <= 2 * limit
        if values.size > 10_000:
            # A normal cut off at two standard deviations keeps 0.88 of its own.
            np.testing.assert_allclose(values.std(), 0.88 * limit, rtol=0.02)
        assert not biases.numpy().any()


def test_loss_is_the_mean_cross_entropy() -> None:
    logits = tf.constant([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    labels = tf.constant([2, 0])
    expected = (-3 + np.log(np.exp([1, 2, 3]).sum()) + np.log(3)) / 2
    np.testing.assert_allclose(model.loss(logits, labels), expected, rtol=1e-6)


def test_plain_gradient_descent_keeps_nothing_and_steps_down_the_gradient() -> None:
    weights, gradients = [tf.constant([1.0, 2.0])], [tf.constant([0.5, -1.0])]
    assert model.slots(Train(), model.variables((4,), seed=0)) == []
    [[moved]] = model.training(Train(), [weights], gradients, tf.constant(0.1))
    np.testing.assert_array_equal(moved, weights[0] - 0.1 * gradients[0])


def test_momentum_adds_a_share_of_the_last_step() -> None:
    weights, velocities = [tf.constant([1.0])], [tf.constant([2.0])]
    gradients = [tf.constant([0.5])]
    config = Train(momentum=0.9)
    [[moved], [velocity]] = model.training(config, [weights, velocities], gradients, 0.1)
    np.testing.assert_allclose(velocity, [0.9 * 2.0 + 0.5])
    np.testing.assert_allclose(moved, [1.0 - 0.1 * (0.9 * 2.0 + 0.5)])


def test_evaluation_counts_what_is_most_probable() -> None:
    logits = tf.constant([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    assert int(model.evaluation(logits, tf.constant([1, 0, 0]))) == 2
