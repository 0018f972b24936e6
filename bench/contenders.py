"""Other ways to train the same network on the same data.

Every framework is imported where it is used: PyTorch and JAX may live in another environment, which
has neither TensorFlow nor this project's packages.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import mnist

STEPS = int(os.environ.get("STEPS", "3000"))
BATCH, HIDDEN1, HIDDEN2, CLASSES, RATE = 100, 128, 32, 10, 0.1
# Multiplications and additions of a step: forward, weight gradients, and activation gradients of
# all layers but the first, whose inputs need none.
LAYERS = ((784, HIDDEN1), (HIDDEN1, HIDDEN2), (HIDDEN2, CLASSES))
FLOPS = 2 * BATCH * (3 * sum(a * b for a, b in LAYERS) - LAYERS[0][0] * LAYERS[0][1])


def digits() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Reads the 55,000 training digits: float32 ``[n, 784]`` in 0 to 1, and int32 ``[n]``."""
    images, labels = (part[5_000:] for part in mnist.read("train"))
    scaled = images.reshape(-1, 784).astype(np.float32) / np.float32(255)
    return scaled, labels.astype(np.int32)


def weights(seed: int = 0) -> list[npt.NDArray[np.float32]]:
    """Draws weights and biases, layer by layer."""
    generator = np.random.default_rng(seed)
    drawn = []
    for fan_in, fan_out in LAYERS:
        layer = generator.normal(size=(fan_in, fan_out)) / fan_in**0.5
        drawn += [layer.astype(np.float32), np.zeros(fan_out, np.float32)]
    return drawn


def batches(steps: int) -> npt.NDArray[np.int32]:
    """Draws the rows of each batch, int32 ``[steps, batch]``, in shuffled epochs."""
    generator = np.random.default_rng(0)
    epochs = [generator.permutation(55_000) for _ in range(-(-steps * BATCH // 55_000))]
    return np.concatenate(epochs)[: steps * BATCH].reshape(steps, BATCH).astype(np.int32)


def rate(steps: Callable[[int], Any], number: int) -> float:
    """Returns steps a second, after a warm-up that compiles whatever is compiled."""
    steps(200)
    start = time.perf_counter()
    steps(number)
    return number / (time.perf_counter() - start)


def tutorial() -> float:
    """TensorFlow Mechanics 101: a session that is fed a batch a step, with a summary every 100."""
    import tensorflow as tf

    v1 = tf.compat.v1
    images, labels = digits()
    with tf.Graph().as_default(), tempfile.TemporaryDirectory() as logs:
        pixels = v1.placeholder(tf.float32, [BATCH, 784])
        targets = v1.placeholder(tf.int32, [BATCH])
        variables = [v1.Variable(value) for value in weights()]
        hidden1 = tf.nn.relu(pixels @ variables[0] + variables[1])
        hidden2 = tf.nn.relu(hidden1 @ variables[2] + variables[3])
        logits = hidden2 @ variables[4] + variables[5]
        loss = v1.losses.sparse_softmax_cross_entropy(targets, logits)
        summary = v1.summary.scalar("loss", loss)
        train = v1.train.GradientDescentOptimizer(RATE).minimize(loss)
        writer = v1.summary.FileWriter(logs, tf.compat.v1.get_default_graph())
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())

            def steps(number: int) -> None:
                for step, rows in enumerate(batches(number)):
                    feed = {pixels: images[rows], targets: labels[rows]}
                    session.run([train, loss], feed)
                    if step % 100 == 0:
                        writer.add_summary(session.run(summary, feed), step)

            return rate(steps, STEPS)


def _keras(**compiled: Any) -> float:
    import tensorflow as tf

    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [layers.Dense(HIDDEN1, "relu"), layers.Dense(HIDDEN2, "relu"), layers.Dense(CLASSES)]
    )
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(tf.keras.optimizers.SGD(RATE), loss, **compiled)
    images, labels = digits()

    def steps(number: int) -> None:
        for _ in range(-(-number // 550)):
            count = min(number, 550) * BATCH
            network.fit(images[:count], labels[:count], BATCH, epochs=1, verbose=0)
            number -= 550

    return rate(steps, STEPS)


def keras() -> float:
    """Keras fit as it comes."""
    return _keras()


def keras_best() -> float:
    """Keras fit, XLA-compiled, 110 steps an execution."""
    return _keras(steps_per_execution=110, jit_compile=True)


def pytorch() -> float:
    """PyTorch, eager: tensors in memory, a batch by index, plain SGD."""
    import torch

    images, labels = (torch.from_numpy(array) for array in digits())
    labels = labels.long()
    network = torch.nn.Sequential(
        *(torch.nn.Linear(784, HIDDEN1), torch.nn.ReLU()),
        *(torch.nn.Linear(HIDDEN1, HIDDEN2), torch.nn.ReLU()),
        torch.nn.Linear(HIDDEN2, CLASSES),
    )
    optimizer = torch.optim.SGD(network.parameters(), RATE)

    def steps(number: int) -> None:
        for rows in torch.from_numpy(batches(number)):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(images[rows]), labels[rows])
            loss.backward()
            optimizer.step()

    return rate(steps, STEPS)


def jax_scan() -> float:
    """JAX: 100 steps in one compiled lax.scan over data held as uint8."""
    import jax
    from jax import numpy as jnp

    images, labels = digits()
    data = jnp.asarray((images * 255).astype(np.uint8)), jnp.asarray(labels)

    def loss(w: Any, rows: Any) -> Any:
        pixels = data[0][rows].astype(jnp.float32) / 255
        hidden1 = jax.nn.relu(pixels @ w[0] + w[1])
        hidden2 = jax.nn.relu(hidden1 @ w[2] + w[3])
        logs = jax.nn.log_softmax(hidden2 @ w[4] + w[5])
        return -logs[jnp.arange(BATCH), data[1][rows]].mean()

    def step(w: Any, rows: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(w, rows)
        return [a - RATE * b for a, b in zip(w, gradients, strict=True)], value

    block = jax.jit(lambda w, rows: jax.lax.scan(step, w, rows))
    state = [jnp.asarray(w) for w in weights()]

    def steps(number: int) -> None:
        nonlocal state
        for rows in batches(number).reshape(-1, 100, BATCH):
            state, losses = block(state, rows)
            float(losses[-1])

    return rate(steps, STEPS)


def matrix_product() -> float:
    """A large float32 matrix product, its operations a second counted in steps of this net."""
    import tensorflow as tf

    a = tf.random.normal([2_048, 2_048])
    multiply = tf.function(lambda x: tf.matmul(x, x), jit_compile=True)
    times = []
    for _ in range(8):
        start = time.perf_counter()
        multiply(a).numpy()
        times.append(time.perf_counter() - start)
    return 2 * 2_048**3 / statistics.median(times[2:]) / FLOPS
