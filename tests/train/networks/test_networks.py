"""What training relies on in every network, and what is refused as one."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from bench.cnn import keras_network
from components.config import Train
from components.shared.errors import StepError
from components.train import networks
from components.train.networks import cnn
from components.train.networks.network import Network, open_network
from tests.conftest import ROOT

KERAS = f"{Path(__file__).parent / 'some_keras.py'}"
OURS = {module.name for module in pkgutil.iter_modules(networks.__path__)}
NAMES = [
    *sorted(OURS - {"network", "keras_model"}),
    f"{KERAS}:build",
    "tests.train.networks.some_keras:build",
]


def opened(name: str, image_shape: tuple[int, int] = (12, 10), seed: int = 0) -> Network:
    return open_network(Train(network=name, seed=seed), image_shape, 7)


def images(shape: tuple[int, int], number: int = 6) -> tf.Tensor:
    generator = np.random.default_rng(2)
    return tf.constant(generator.integers(256, size=(number, *shape), dtype=np.uint8))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(28, 28), (5, 9), (1, 1)])
def test_every_image_gets_a_logit_a_class(name: str, shape: tuple[int, int]) -> None:
    network = opened(name, shape)
    for training in (True, False):
        logits, extra = network.logits(network.weights, network.extra, images(shape), training)
        assert (logits.shape, logits.dtype) == ((6, 7), tf.float32)
        assert [value.shape for value in extra] == [value.shape for value in network.extra]
        assert [value.dtype for value in extra] == [value.dtype for value in network.extra]


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_on_the_weights(name: str) -> None:
    one, same, other = (opened(name, seed=seed) for seed in (3, 3, 4))
    for first, second in zip(one.weights, same.weights, strict=True):
        np.testing.assert_array_equal(first, second)
    assert any(
        (a.numpy() != b.numpy()).any() for a, b in zip(one.weights, other.weights, strict=True)
    )


@pytest.mark.parametrize("name", [name for name in NAMES if opened(name).extra])
def test_extra_values_change_in_training_alone(name: str) -> None:
    network = opened(name)
    given = network.weights, network.extra, images((12, 10))
    first, after = network.logits(*given, True)
    assert any((a.numpy() != b.numpy()).any() for a, b in zip(network.extra, after, strict=True))
    again, _ = network.logits(*given, True)
    np.testing.assert_array_equal(first, again)  # all that is random is in them
    another, _ = network.logits(network.weights, after, images((12, 10)), True)
    assert (first.numpy() != another.numpy()).any()  # another dropout
    _, same = network.logits(*given, False)
    for value, before in zip(same, network.extra, strict=True):
        np.testing.assert_array_equal(value, before)


@pytest.mark.parametrize("name", NAMES)
def test_weights_in_the_form_of_the_loop_answer_alike(name: str) -> None:
    network = opened(name)
    weights = [variable.value() for variable in network.weights]
    in_loop = network.to_loop(weights)
    for value, original in zip(network.from_loop(in_loop), weights, strict=True):
        np.testing.assert_array_equal(value, original)
    answers = [
        network.logits(form, network.extra, images((12, 10)), False)[0]
        for form in (weights, in_loop)
    ]
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_standardized_it_answers_alike_to_light_and_dark_images(name: str) -> None:
    def answer(shown: tf.Tensor, mean: float, stddev: float) -> tf.Tensor:
        network = open_network(Train(network=name), (12, 10), 7, (mean, stddev))
        return network.logits(network.weights, network.extra, shown, False)[0]

    dark = images((12, 10)) // 4
    light = dark * 2 + 50
    answers = [answer(dark, 30.0, 20.0), answer(light, 110.0, 40.0)]
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_where_it_is_off_a_network_gets_grey_values_from_0_to_1(name: str) -> None:
    def answer(standardize: bool, statistics: tuple[float, float]) -> tf.Tensor:
        config = Train(network=name, standardize=standardize)
        # 100 pixels, at which mlp scales standardized images by 1.
        network = open_network(config, (10, 10), 7, statistics)
        return network.logits(network.weights, network.extra, images((10, 10)), False)[0]

    off, as_it_is = answer(False, (30.0, 20.0)), answer(True, (0.0, 255.0))
    np.testing.assert_array_equal(off, as_it_is)


@pytest.mark.parametrize("training", [True, False])
def test_the_cnn_is_what_keras_makes_of_the_same_layers(
    training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cnn, "DROPOUT", 0.0)
    network, same = cnn.create(Train(seed=1), (12, 10), 7), keras_network((12, 10), 7)
    generator = np.random.default_rng(1)
    for variable in (*network.weights, *network.extra[1:]):
        scale = generator.uniform(0.9, 1.1, variable.shape)
        variable.assign((variable + 0.1) * scale)
    averages = iter(network.extra[1:])
    kept: list[tf.Variable] = []
    for place in range(0, len(network.weights) - 2, 3):
        kernel, offset, scale = network.weights[place : place + 3]
        kept += [kernel, scale, offset, next(averages), next(averages)]
    same.set_weights([variable.numpy() for variable in [*kept, *network.weights[-2:]]])
    shown = tf.constant(generator.normal(size=(8, 12, 10)).astype(np.float32))
    logits, after = network.logits(network.weights, network.extra, shown, training)
    np.testing.assert_allclose(logits, same(shown, training=training), rtol=1e-3, atol=1e-4)
    normalizations = [layer for layer in same.layers if hasattr(layer, "moving_variance")]
    assert len(normalizations) == (len(after) - 1) / 2 == len(cnn.CHANNELS) + 1
    values = [8 * 6 * 5, 8 * 3 * 3, 8 * 2 * 2, 8]  # of a channel, once maxima are taken; of a unit
    for place, (layer, number) in enumerate(zip(normalizations, values, strict=True)):
        before = network.extra[2 * place + 2]
        # Keras takes the variance of a batch's values for that of the whole population.
        expected = before + (layer.moving_variance - before) * (number / (number - 1))
        mean, variance = after[2 * place + 1 :][:2]
        np.testing.assert_allclose(mean, layer.moving_mean, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(variance, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{KERAS}:probabilities", "the last layer is a softmax, expected logits"),
        (f"{KERAS}:too_few", r"a model from .* to \(None, 6\), expected .* to \(None, 7\)"),
        (f"{KERAS}:nothing", "returned str, expected a keras.Model"),
        (f"{KERAS}:missing", "cannot be imported"),
        ("no/such/file.py:build", "cannot be imported"),
        ("no_such_module:build", "cannot be imported"),
    ],
)
def test_what_is_not_such_a_model_is_refused_in_a_line(name: str, message: str) -> None:
    with pytest.raises(StepError, match=message) as refused:
        opened(name)
    assert str(refused.value).startswith(f"--network {name}: ")


def test_keras_is_imported_for_a_keras_model_alone() -> None:
    program = (
        "import sys\n"
        "from components.config import Train\n"
        "from components.train.networks.network import open_network\n"
        "open_network(Train(network='cnn'), (8, 8), 3)\n"
        "sys.exit('keras' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
