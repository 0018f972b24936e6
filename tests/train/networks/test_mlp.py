"""The network of TensorFlow Mechanics 101."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from components.train.networks.mlp import in_bands, inference, variables, whole


def test_variables_have_the_tutorials_names_and_shapes() -> None:
    created = variables((784, 128, 32, 10), seed=0)
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
    created = variables((784, *hidden, 10), seed=0)
    weights = {variable.name.split("/")[0]: tuple(variable.shape) for variable in created[::2]}
    assert list(weights) == [f"hidden{n + 1}" for n in range(len(hidden))] + ["softmax_linear"]
    assert list(weights.values()) == list(itertools.pairwise((784, *hidden, 10)))
    assert inference(created, tf.zeros([3, 28, 28])).shape == (3, 10)


def test_weights_of_a_layer_are_drawn_by_the_seed_and_its_place() -> None:
    created = variables((784, 128, 32, 10), seed=3)
    for place, weights in enumerate(created[::2]):
        stddev = 1 / math.sqrt(weights.shape[0])
        drawn = tf.random.stateless_truncated_normal(weights.shape, [3, place], stddev=stddev)
        np.testing.assert_array_equal(weights, drawn)


def test_weights_are_truncated_normal_by_fan_in_and_biases_zero() -> None:
    created = variables((784, 800, 400, 10), seed=1)
    for weights, biases in zip(created[::2], created[1::2], strict=True):
        limit = 1 / np.sqrt(weights.shape[0])
        values = weights.numpy()
        assert np.abs(values).max() <= 2 * limit
        if values.size > 10_000:
            # A normal cut off at two standard deviations keeps 0.88 of its own.
            np.testing.assert_allclose(values.std(), 0.88 * limit, rtol=0.02)
        assert not biases.numpy().any()


def test_logits_of_bands_of_pixels_are_those_of_the_whole() -> None:
    weights = [variable.value() for variable in variables((784, 16, 8, 10), seed=2)]
    images = tf.constant(np.random.default_rng(5).random((3, 28, 28), dtype=np.float32))
    banded = in_bands(weights, 2)
    assert [tuple(band.shape) for band in banded[0]] == [(392, 16), (392, 16)]
    expected = inference(weights, images)
    np.testing.assert_allclose(inference(banded, images), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("pixels", "number", "bands"), [(784, 5, 5), (784, 1, 1), (1, 2, 1)])
def test_weights_in_bands_can_be_made_whole(pixels: int, number: int, bands: int) -> None:
    weights = [variable.value() for variable in variables((pixels, 16, 8, 10), seed=2)]
    banded = in_bands(weights, number)
    assert len(banded[0]) == bands
    for joined, original in zip(whole(banded), weights, strict=True):
        np.testing.assert_array_equal(joined, original)
