"""The network of TensorFlow Mechanics 101."""

import numpy as np
import tensorflow as tf

from components.train import model


def test_variables_have_the_tutorials_names_and_shapes() -> None:
    created = model.variables(hidden1=128, hidden2=32, seed=0)
    assert [(variable.name.split(":")[0], tuple(variable.shape)) for variable in created] == [
        ("hidden1/weights", (784, 128)),
        ("hidden1/biases", (128,)),
        ("hidden2/weights", (128, 32)),
        ("hidden2/biases", (32,)),
        ("softmax_linear/weights", (32, 10)),
        ("softmax_linear/biases", (10,)),
    ]


def test_weights_are_truncated_normal_by_fan_in_and_biases_zero() -> None:
    created = model.variables(hidden1=800, hidden2=400, seed=1)
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


def test_evaluation_counts_what_is_most_probable() -> None:
    logits = tf.constant([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    assert int(model.evaluation(logits, tf.constant([1, 0, 0]))) == 2
