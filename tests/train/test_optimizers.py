"""Each optimizer takes the steps of its paper, and those of Keras."""

from typing import Any, get_args

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from components.config import Train
from components.train.optimizers import Factors, learning_rate, open_optimizer, orthogonalize
from tests.conftest import ROOT

STEPS, RATE = 7, 0.01
Floats = npt.NDArray[np.float32]


def weight_and_gradients() -> tuple[Floats, list[Floats]]:
    generator = np.random.default_rng(4)
    return (
        generator.normal(size=(5, 3)).astype(np.float32),
        [generator.normal(size=(5, 3)).astype(np.float32) for _ in range(STEPS)],
    )


def steps_of(config: Train) -> list[Floats]:
    """The weight after each step, from zero slots on."""
    weight, gradients = weight_and_gradients()
    optimizer = open_optimizer(config)
    slots = [tf.zeros_like(weight) for _ in optimizer.slots]
    value, taken = tf.constant(weight), []
    for number, gradient in enumerate(gradients, start=1):
        direction, slots = optimizer.direction(
            Factors.of(config), value, tf.constant(gradient), slots, tf.constant(number)
        )
        value -= RATE * optimizer.whole([direction])[0]
        taken.append(value.numpy())
    return taken


def by_keras(optimizer: Any, penalty: float = 0.0) -> list[Floats]:
    weight, gradients = weight_and_gradients()
    variable = keras.Variable(weight)
    taken = []
    for gradient in gradients:
        optimizer.apply([gradient + penalty * variable.numpy()], [variable])
        taken.append(variable.numpy().copy())
    return taken


NAMES = get_args(Train.__pydantic_fields__["optimizer"].annotation)  # type: ignore[attr-defined]
KERAS = {
    "sgd": lambda: keras.optimizers.SGD(RATE),
    # Keras' velocity has the rate in it; with one rate throughout, the steps are the same.
    "momentum": lambda: keras.optimizers.SGD(RATE, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(RATE),
    "adamw": lambda: keras.optimizers.AdamW(RATE, weight_decay=0.0),
    "muon": lambda: keras.optimizers.Muon(
        RATE, momentum=0.8, ns_steps=3, rms_rate=None, weight_decay=None
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_steps_are_those_of_keras(name: Any) -> None:
    for ours, theirs in zip(steps_of(Train(optimizer=name)), by_keras(KERAS[name]()), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_every_optimizer_is_explained() -> None:
    page = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    missing = [name for name in NAMES if f"| `{name}` |" not in page]
    assert not missing, f"docs/model.md: the table under Optimizers lacks {', '.join(missing)}"


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "muon"])
def test_weight_decay_is_a_term_of_the_loss(name: Any) -> None:
    config = Train(optimizer=name, weight_decay=0.1)
    for ours, theirs in zip(steps_of(config), by_keras(KERAS[name](), 0.1), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_weight_decay_of_adamw_is_not_part_of_the_gradient() -> None:
    config = Train(optimizer="adamw", weight_decay=0.1)
    adamw = keras.optimizers.AdamW(RATE, weight_decay=0.1)
    for ours, theirs in zip(steps_of(config), by_keras(adamw), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_adam_by_hand() -> None:
    start, gradients = weight_and_gradients()
    weight = start.astype(np.float64)
    mean = square = np.zeros_like(weight)
    for number, (gradient, ours) in enumerate(
        zip(gradients, steps_of(Train(optimizer="adam")), strict=True), start=1
    ):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        unbiased = mean / (1 - 0.9**number), square / (1 - 0.999**number)
        weight = weight - RATE * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-7)
        np.testing.assert_allclose(ours, weight, rtol=1e-4, atol=1e-6)


def test_momentum_by_hand() -> None:
    weight, (first, second, *_) = weight_and_gradients()
    one, two, *_ = steps_of(Train(optimizer="sgd", momentum=0.5))
    np.testing.assert_allclose(one, weight - RATE * first, rtol=1e-6)
    np.testing.assert_allclose(two, one - RATE * (0.5 * first + second), rtol=1e-5)


def test_momentum_without_a_share_keeps_nine_tenths() -> None:
    for ours, expected in zip(
        steps_of(Train(optimizer="momentum")),
        steps_of(Train(optimizer="sgd", momentum=0.9)),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, expected)
    assert open_optimizer(Train(optimizer="sgd")).slots == ()
    assert open_optimizer(Train(optimizer="sgd", momentum=0.1)).slots == ("velocity",)
    assert open_optimizer(Train(optimizer="adam", momentum=0.1)).slots == ("mean", "square")


@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (3, 3, 4, 6)])
def test_muon_brings_singular_values_close_to_each_other(shape: tuple[int, ...]) -> None:
    matrix = np.random.default_rng(6).normal(size=shape).astype(np.float32)
    [direction] = orthogonalize([tf.constant(matrix)])
    assert direction.shape == shape
    before, after = (
        np.linalg.svd(np.reshape(part, (-1, shape[-1])), compute_uv=False)
        for part in (matrix, direction)
    )
    assert after.max() / after.min() < before.max() / before.min()
    assert 0.5 < after.min() <= after.max() < 1.3


def test_muon_takes_the_bands_of_a_matrix_as_one() -> None:
    matrix = tf.constant(np.random.default_rng(7).normal(size=(20, 6)).astype(np.float32))
    bands = tf.concat(orthogonalize(tf.split(matrix, [13, 7])), 0)
    np.testing.assert_allclose(bands, orthogonalize([matrix])[0], rtol=1e-4, atol=1e-6)
    vector = tf.constant([3.0, 4.0])
    np.testing.assert_array_equal(orthogonalize([vector])[0], vector)


def test_learning_rate_falls_along_a_line_or_a_cosine_or_stays() -> None:
    line = Train(max_steps=100, learning_rate=0.5, decay="linear")
    rates = [
        float(learning_rate(line, Factors.of(line), tf.constant(step))) for step in (0, 50, 90, 100)
    ]
    np.testing.assert_allclose(rates, [0.5, 0.25, 0.05, 0], atol=1e-7)
    cosine = Train(max_steps=100, learning_rate=0.5, decay="cosine")
    rates = [
        float(learning_rate(cosine, Factors.of(cosine), tf.constant(step))) for step in (0, 50, 100)
    ]
    np.testing.assert_allclose(rates, [0.5, 0.25, 0], atol=1e-7)
    warmed = Train(max_steps=100, warmup_steps=10, learning_rate=0.5, decay="cosine")
    rates = [
        float(learning_rate(warmed, Factors.of(warmed), tf.constant(step)))
        for step in (0, 4, 9, 10, 55, 100)
    ]
    np.testing.assert_allclose(rates, [0.05, 0.25, 0.5, 0.5, 0.25, 0], atol=1e-7)
    constant = Train(max_steps=100, learning_rate=0.5, decay="none")
    assert float(learning_rate(constant, Factors.of(constant), tf.constant(99))) == 0.5
