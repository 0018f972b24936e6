"""The recipe of this project's default in other frameworks, with their own Muon.

The rate falls along a line, and every image is shifted by itself by up to a pixel each way. Every
framework is imported where it is used.
"""

import functools
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bench import contenders, mnist

IMAGES = 55_000
UNITS = (784, 128, 32, 10)
# The tutorial has no Muon: plain gradient descent, for as long as it takes.
PLAIN_BATCH, PLAIN_EPOCHS, PLAIN_RATE = 100, 30, 0.5

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
Figures = tuple[float, float, float]  # seconds, precision@1 on validation and test
Predict = Callable[[Floats], Any]  # logits [n, 10] of images [n, 784]


class Recipe(NamedTuple):
    """This project's default, handed over: its config.py needs packages that may not be there."""

    batch: int
    epochs: int
    rate: float
    momentum: float
    iterations: int  # of Muon's polynomial
    smoothing: float

    @property
    def steps(self) -> int:
        """Of all epochs."""
        return self.epochs * IMAGES // self.batch


class Data:
    """MNIST as numpy arrays: 55,000 images to train on, the splits, and a clock that starts now."""

    def __init__(self, seed: int) -> None:
        images, labels = mnist.read("train")
        self._padded = np.pad(images[5_000:], ((0, 0), (1, 1), (1, 1)))
        self.labels: Labels = labels[5_000:].astype(np.int32)
        self._mean, self._scale = float(images.mean()), 10 / 28 / float(images.std())
        self.splits = [(self.inputs(images[:5_000]), labels[:5_000])]
        images, labels = mnist.read("t10k")
        self.splits.append((self.inputs(images), labels))
        self._generator = np.random.default_rng(seed)
        self._evaluating, self._start = 0.0, time.perf_counter()

    def inputs(self, images: npt.NDArray[np.uint8]) -> Floats:
        """Returns standardized images, scaled to one length: ``[n, 784]``."""
        standardized = (images.reshape(-1, 784).astype(np.float32) - self._mean) * self._scale
        return np.asarray(standardized, np.float32)

    def epoch(self) -> tuple[Floats, Labels]:
        """Draws an epoch: images in another order, each shifted by itself."""
        order = self._generator.permutation(IMAGES)
        rows, columns = self._generator.integers(0, 3, (2, IMAGES))
        windows = np.lib.stride_tricks.sliding_window_view(self._padded, (28, 28), (1, 2))
        return self.inputs(windows[order, rows, columns]), self.labels[order]

    def evaluated(self, predict: Predict) -> Figures:
        """Returns the seconds so far, and precision@1 on validation and test; the clock stops."""
        start = time.perf_counter()
        scores = [
            float((np.asarray(predict(images)).argmax(1) == labels).mean())
            for images, labels in self.splits
        ]
        seconds = start - self._start - self._evaluating
        self._evaluating += time.perf_counter() - start
        return seconds, *scores  # type: ignore[return-value]


def pytorch(recipe: Recipe, seed: int) -> Iterator[Figures]:
    """PyTorch, eager; biases by Nesterov's gradient descent."""
    import torch

    data = Data(seed)
    drawn = contenders.weights(seed)
    layers = [torch.nn.Linear(*units) for units in itertools.pairwise(UNITS)]
    for layer, kernel, bias in zip(layers, drawn[::2], drawn[1::2], strict=True):
        layer.weight.data = torch.from_numpy(kernel.T.copy())
        layer.bias.data = torch.from_numpy(bias)
    network = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
    own = {"momentum": recipe.momentum, "weight_decay": 0, "ns_steps": recipe.iterations}
    optimizers = (
        torch.optim.Muon([each.weight for each in layers], recipe.rate, **own),
        torch.optim.SGD(
            [each.bias for each in layers], recipe.rate, recipe.momentum, nesterov=True
        ),
    )
    schedules = [torch.optim.lr_scheduler.LinearLR(one, 1, 0, recipe.steps) for one in optimizers]
    loss = torch.nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    for _ in range(recipe.epochs):
        images, labels = map(torch.from_numpy, data.epoch())
        parts = (part.split(recipe.batch) for part in (images, labels.long()))
        for batch, targets in zip(*parts, strict=True):
            network.zero_grad()
            loss(network(batch), targets).backward()
            for one in (*optimizers, *schedules):
                one.step()
        with torch.no_grad():
            yield data.evaluated(lambda part: network(torch.from_numpy(part)))


def jax(recipe: Recipe, seed: int) -> Iterator[Figures]:
    """JAX, an epoch in one compiled lax.scan; biases by Adam, a tenth of the rate."""
    import jax as jax_
    import optax
    from jax import numpy as jnp

    data = Data(seed)
    rates = recipe.rate, recipe.rate / 10
    rate, of_biases = (optax.linear_schedule(first, 0, recipe.steps) for first in rates)
    optimizer = optax.contrib.muon(
        rate, ns_steps=recipe.iterations, beta=recipe.momentum, adam_learning_rate=of_biases
    )

    def logits(w: Any, pixels: Any) -> Any:
        hidden1 = jax_.nn.relu(pixels @ w[0] + w[1])
        return jax_.nn.relu(hidden1 @ w[2] + w[3]) @ w[4] + w[5]

    def loss(w: Any, batch: Any) -> Any:
        targets = optax.smooth_labels(jax_.nn.one_hot(batch[1], UNITS[-1]), recipe.smoothing)
        return optax.softmax_cross_entropy(logits(w, batch[0]), targets).mean()

    def step(state: Any, batch: Any) -> Any:
        w, kept = state
        value, gradients = jax_.value_and_grad(loss)(w, batch)
        updates, kept = optimizer.update(gradients, kept, w)
        return (optax.apply_updates(w, updates), kept), value

    epoch = jax_.jit(lambda state, batches: jax_.lax.scan(step, state, batches))
    weights = [jnp.asarray(weight) for weight in contenders.weights(seed)]
    state = weights, optimizer.init(weights)
    for _ in range(recipe.epochs):
        images, labels = data.epoch()
        batches = images.reshape(-1, recipe.batch, UNITS[0]), labels.reshape(-1, recipe.batch)
        state, losses = epoch(state, batches)
        losses.block_until_ready()
        yield data.evaluated(functools.partial(logits, state[0]))


def keras(recipe: Recipe, seed: int) -> Iterator[Figures]:
    """Keras fit, XLA-compiled, an epoch an execution; biases by Adam, a tenth of the rate."""
    import tensorflow as tf

    data = Data(seed)
    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [layers.Dense(UNITS[1], "relu"), layers.Dense(UNITS[2], "relu"), layers.Dense(UNITS[3])]
    )
    network.build((None, UNITS[0]))
    network.set_weights(contenders.weights(seed))
    optimizer = tf.keras.optimizers.Muon(
        tf.keras.optimizers.schedules.PolynomialDecay(recipe.rate, recipe.steps, 0),
        weight_decay=0,
        adam_weight_decay=0,
        adam_lr_ratio=0.1,
        momentum=recipe.momentum,
        ns_steps=recipe.iterations,
        rms_rate=None,
    )
    crossentropy = tf.keras.losses.CategoricalCrossentropy
    loss = crossentropy(from_logits=True, label_smoothing=recipe.smoothing)
    epoch = IMAGES // recipe.batch
    network.compile(optimizer, loss, steps_per_execution=epoch, jit_compile=True)
    for _ in range(recipe.epochs):
        images, labels = data.epoch()
        network.fit(images, np.eye(UNITS[-1])[labels], recipe.batch, shuffle=False, verbose=0)
        yield data.evaluated(lambda part: network(part))


def tutorial(_recipe: Recipe, seed: int) -> Iterator[Figures]:
    """TensorFlow Mechanics 101: a session that is fed a batch a step; plain gradient descent."""
    import tensorflow as tf

    v1, data = tf.compat.v1, Data(seed)
    steps = PLAIN_EPOCHS * IMAGES // PLAIN_BATCH
    with tf.Graph().as_default(), v1.Session() as session:
        pixels = v1.placeholder(tf.float32, [None, UNITS[0]])
        targets = v1.placeholder(tf.int32, [None])
        w = [v1.Variable(value) for value in contenders.weights(seed)]
        hidden1 = tf.nn.relu(pixels @ w[0] + w[1])
        logits = tf.nn.relu(hidden1 @ w[2] + w[3]) @ w[4] + w[5]
        loss = v1.losses.sparse_softmax_cross_entropy(targets, logits)
        step = v1.train.get_or_create_global_step()
        rate = v1.train.cosine_decay(PLAIN_RATE, step, steps)
        train = v1.train.GradientDescentOptimizer(rate).minimize(loss, step)
        session.run(v1.global_variables_initializer())
        for _ in range(PLAIN_EPOCHS):
            images, labels = data.epoch()
            for at in range(0, len(labels), PLAIN_BATCH):
                batch = slice(at, at + PLAIN_BATCH)
                session.run([train, loss], {pixels: images[batch], targets: labels[batch]})
            yield data.evaluated(lambda part: session.run(logits, {pixels: part}))
