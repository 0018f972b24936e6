"""Loss and evaluation, and what is kept of the steps besides the weights."""

import numpy as np
import pytest
import tensorflow as tf

from components.config import Train
from components.train import model
from components.train.model import State, Values, training
from components.train.networks.network import open_network
from components.train.optimizers import Factors


def test_loss_is_the_mean_cross_entropy() -> None:
    logits = tf.constant([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    labels = tf.constant([2, 0])
    expected = (-3 + np.log(np.exp([1, 2, 3]).sum()) + np.log(3)) / 2
    np.testing.assert_allclose(model.loss(logits, labels), expected, rtol=1e-6)


def test_evaluation_counts_what_is_most_probable() -> None:
    logits = tf.constant([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    assert int(model.evaluation(logits, tf.constant([1, 0, 0]))) == 2


def test_smoothed_labels_give_every_class_its_part() -> None:
    logits = np.array([[1.0, 2.0, 3.0], [0.5, 0.0, 0.0]])
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    targets = np.full((2, 3), 0.3 / 3)
    targets[[0, 1], [2, 0]] += 0.7
    expected = -(targets * logs).sum(1).mean()
    labels = tf.constant([2, 0])
    smoothed = model.loss(tf.constant(logits, tf.float32), labels, smoothing=tf.constant(0.3))
    np.testing.assert_allclose(smoothed, expected, rtol=1e-6)


def test_the_average_of_the_weights_follows_them_and_is_what_answers() -> None:
    config = Train(hidden="3", average=0.9, optimizer="sgd")
    state = State.initial(config, open_network(config, (2, 2), 2))
    weights = [variable.value() for variable in state.variables.weights]
    gradients = [tf.ones_like(weight) for weight in weights]
    before = Values(weights, [], [], weights)
    after = training(
        config, Factors.of(config), before, gradients, tf.constant(0.5), tf.constant(0)
    )
    for average, old, new in zip(after.average, weights, after.weights, strict=True):
        np.testing.assert_allclose(average, 0.9 * old + 0.1 * new, rtol=1e-6, atol=1e-7)
    for variable, value in zip(state.variables.average, after.average, strict=True):
        variable.assign(value)
    for answering, average in zip(state.answering[0], after.average, strict=True):
        np.testing.assert_array_equal(answering, average)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_best_evaluation_can_be_gone_back_to(average: float) -> None:
    config = Train(hidden="3", patience=2, average=average)
    state = State.initial(config, open_network(config, (2, 2), 2))
    best = []
    for step, correct in ((10, 4), (20, 7), (30, 7), (40, 6)):
        state.global_step.assign(step)
        for variable in tf.nest.flatten(state.variables):
            variable.assign_add(tf.ones_like(variable))
        state.keep_if_best(correct)
        if step == 20:
            best = state.answering[0]
    assert int(state.worse.numpy()) == 2
    state.go_back_to_best()
    assert state.step == 20
    for answering, expected in zip(state.answering[0], best, strict=True):
        np.testing.assert_array_equal(answering, expected)
