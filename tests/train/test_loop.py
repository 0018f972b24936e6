"""The compiled loop does what a plain one does."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from components.config import Train
from components.train import deform, loop
from components.train.batches import Block, lay_out
from components.train.loop import compile_score, compile_steps
from components.train.model import State
from components.train.networks import mlp
from components.train.networks.network import open_network
from tests.forked import run_forked

SHAPE = (28, 28)
MEAN, STDDEV = 60.0, 70.0  # of grey values
Floats = npt.NDArray[np.float64]


def initial(config: Train) -> State:
    """A run at step 0, on images of that shape, of ten classes."""
    return State.initial(config, open_network(config, SHAPE, 10, (MEAN, STDDEV)))


def block_of_noise(batches: int, size: int, radius: int, deformed: bool = False) -> Block:
    """A block of random images, each batch with other rows, shifts and deformations."""
    generator = np.random.default_rng(11)
    images = tf.constant(generator.integers(256, size=(64, 28, 28), dtype=np.uint8))
    return Block(
        deform.lay_out(images) if deformed else lay_out(images, radius),
        tf.constant(generator.integers(10, size=64, dtype=np.int32)),
        tf.constant(generator.integers(64, size=(batches, size), dtype=np.int32)),
        tf.constant(
            generator.integers((2 * radius + 1) ** 2, size=(batches, size), dtype=np.int32)
        ),
        tf.constant(generator.integers(-128, 128, (batches, size, 2, deform.FIELDS), np.int8)),
    )


def plain_loss_and_gradients(
    weights: list[Floats], pixels: Floats, labels: npt.NDArray[np.int32]
) -> tuple[float, list[Floats]]:
    """Forward and backward through the network in numpy, float64."""
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    inputs = [pixels]
    for matrix, biases in layers[:-1]:
        inputs.append(np.maximum(inputs[-1] @ matrix + biases, 0))
    logits = inputs[-1] @ weights[-2] + weights[-1]
    logits -= logits.max(axis=1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -np.log(probabilities[rows, labels]).mean()
    delta = probabilities.copy()
    delta[rows, labels] -= 1
    delta /= len(labels)
    gradients: list[Floats] = []
    for (matrix, _), given in zip(reversed(layers), reversed(inputs), strict=True):
        gradients = [given.T @ delta, delta.sum(0), *gradients]
        delta = delta @ matrix.T * (given > 0)
    return loss, gradients


@pytest.mark.parametrize("xla", [True, False])
@pytest.mark.parametrize(
    ("radius", "size", "hidden", "momentum", "standardize", "as_on_gpu"),
    [
        (0, 10, "16,8", 0, False, False),
        (1, 10, "16,8", 0, False, False),
        (1, 10, "16,8", 0, True, True),
        (1, 9, "16,8", 0.9, False, False),
        (1, 10, "16", 0, True, False),
        (1, 10, "16,8,8", 0.5, False, True),
    ],
)
def test_block_of_steps_equals_plain_gradient_descent(
    xla: bool,
    radius: int,
    size: int,
    hidden: str,
    momentum: float,
    standardize: bool,
    as_on_gpu: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "on_gpu", lambda: as_on_gpu)
    monkeypatch.setattr(mlp, "on_gpu", lambda: as_on_gpu)
    config = Train(
        max_steps=40,
        optimizer="sgd",
        learning_rate=0.1,
        label_smoothing=0.0,
        decay="cosine",
        hidden=hidden,
        xla=xla,
        shift=radius,
        momentum=momentum,
        standardize=standardize,
    )
    state = initial(config)
    weights = [weight.numpy().astype(np.float64) for weight in state.variables.weights]
    velocities = [np.zeros_like(weight) for weight in weights]
    block = block_of_noise(batches=6, size=size, radius=radius)

    figures = compile_steps(config, SHAPE, state, tf.distribute.get_strategy())(block)

    margin = 29 * radius
    images = block.images.numpy()[:, margin : margin + 784].reshape(-1, 28, 28)
    images = np.pad(images, [(0, 0), (radius, radius), (radius, radius)])
    labels = block.labels.numpy()
    for step, (rows, shifts) in enumerate(
        zip(block.order.numpy(), block.shifts.numpy(), strict=True)
    ):
        places = [divmod(int(shift), 2 * radius + 1) for shift in shifts]
        cut = np.stack(
            [
                images[row, top : top + 28, left : left + 28]
                for row, (top, left) in zip(rows, places, strict=True)
            ]
        ).reshape(size, -1)
        # Standardized, an image is a vector of length 10, on average.
        pixels = (cut - MEAN) / STDDEV * 10 / 28 if standardize else cut / 255
        loss, gradients = plain_loss_and_gradients(weights, pixels, labels[rows])
        rate = 0.1 * 0.5 * (1 + np.cos(np.pi * step / 40))
        velocities = [momentum * v + g for v, g in zip(velocities, gradients, strict=True)]
        weights = [w - rate * v for w, v in zip(weights, velocities, strict=True)]
    for got, expected in zip(state.variables.weights, weights, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    np.testing.assert_allclose(figures["loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(figures["gradient_norm"], norm, rtol=1e-4)
    np.testing.assert_allclose(figures["learning_rate"], rate, rtol=1e-5)
    assert state.step == 6


def test_bfloat16_comes_close_to_float32() -> None:
    block = block_of_noise(batches=6, size=10, radius=0)
    losses = []
    for precision in ("float32", "bfloat16"):
        config = Train(max_steps=40, shift=0, precision=precision)
        state = initial(config)
        losses.append(
            compile_steps(config, SHAPE, state, tf.distribute.get_strategy())(block)["loss"]
        )
        assert all(weight.dtype == tf.float32 for weight in state.variables.weights)
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.05)
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("optimizer", "elastic", "close"), [("momentum", 1.0, 1e-5), ("muon", 0.0, 1e-3)]
)
def test_two_replicas_end_where_one_does(
    tmp_path: Path, optimizer: str, elastic: float, close: float
) -> None:
    program = f"""
import json, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from components.train.loop import compile_steps
from components.config import Train
from tests.train.test_loop import SHAPE, block_of_noise, initial
config = Train(max_steps=40, learning_rate=0.1, optimizer={optimizer!r}, elastic={elastic})
block = block_of_noise(batches=6, size=10, radius=1, deformed=bool(config.elastic))
ends = []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    with strategy.scope():
        state = initial(config)
    figures = compile_steps(config, SHAPE, state, strategy)(block)
    sums = [float(tf.reduce_sum(tf.abs(v))) for v in tf.nest.flatten(state.variables)]
    ends.append([strategy.num_replicas_in_sync, state.step, *sums, *map(float, figures.values())])
json.dump(ends, open(sys.argv[1], "w"))
"""
    result = tmp_path / "ends.json"
    ended = run_forked("-c", program, result)
    assert ended.returncode == 0, ended.stderr
    one, two = json.loads(result.read_text())
    assert (one[0], two[0]) == (1, 2)
    np.testing.assert_allclose(two[1:], one[1:], rtol=close)


@pytest.mark.parametrize("network", ["cnn", "tests.train.networks.some_keras:build"])
def test_replicas_share_what_is_not_a_weight(tmp_path: Path, network: str) -> None:
    program = f"""
import json, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from components.train.loop import compile_steps
from components.config import Train
from tests.train.test_loop import SHAPE, block_of_noise, initial
config = Train(max_steps=40, learning_rate=0.01, network={network!r}, average=0.5)
block = block_of_noise(batches=3, size=10, radius=1)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    state = initial(config)
before = [value.numpy() for value in state.variables.extra]
compile_steps(config, SHAPE, state, strategy)(block)
ends = []
for value, old in zip(state.variables.extra, before):
    one, two = (local.numpy() for local in strategy.experimental_local_results(value))
    ends.append([bool((one == two).all()), bool((one != old).any())])
json.dump(ends, open(sys.argv[1], "w"))
"""
    result = tmp_path / "ends.json"
    ended = run_forked("-c", program, result)
    assert ended.returncode == 0, ended.stderr
    ends = json.loads(result.read_text())
    assert ends and all(same and changed for same, changed in ends)


def test_score_counts_every_example_once_the_last_short_batch_too() -> None:
    state = initial(Train(standardize=False))
    images = tf.zeros([103, 28, 28], tf.uint8)
    blank = int(
        tf.argmax(state.variables.weights[5])
    )  # on blank images all biases are 0: the first class
    labels = tf.constant([blank] * 60 + [9] * 43)
    split = tf.data.Dataset.from_tensor_slices((images, labels)).batch(50)
    score = compile_score(state)(split)
    assert (score.examples, score.correct) == (103, 60)
