"""How fast training is, beside other ways to train the same network on the same data.

Every contender is a process of its own, since their thread pools disturb each other; they take
turns, and the medians count. Run it with ``make bench-train``; a contender whose package is not
there is left out and named. PyTorch and JAX may live in another environment: ``PEERS=…/python``.
"""

import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

ROUNDS = int(os.environ.get("ROUNDS", "5"))
STEPS = int(os.environ.get("STEPS", "3000"))
BATCH, HIDDEN1, HIDDEN2, CLASSES, RATE = 100, 128, 32, 10, 0.1
ENVIRONMENT = dict(os.environ)  # before this project's import sets TensorFlow up for itself
MNIST = Path(__file__).resolve().parent.parent / "data" / "mnist"
# Multiplications and additions of a step: forward, weight gradients, and activation gradients of
# all layers but the first, whose inputs need none.
LAYERS = ((784, HIDDEN1), (HIDDEN1, HIDDEN2), (HIDDEN2, CLASSES))
FLOPS = 2 * BATCH * (3 * sum(a * b for a, b in LAYERS) - LAYERS[0][0] * LAYERS[0][1])


def digits() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Reads the 55,000 training digits: float32 ``[n, 784]`` in 0 to 1, and int32 ``[n]``."""
    with gzip.open(MNIST / "train-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)[5_000:]
    with gzip.open(MNIST / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)[5_000:]
    return images.astype(np.float32) / np.float32(255), labels.astype(np.int32)


def weights() -> list[npt.NDArray[np.float32]]:
    """Draws weights and biases, layer by layer."""
    generator = np.random.default_rng(0)
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


class _Stopwatch:
    """Stands between the trainer and its batches and evaluation, and says where the time went."""

    def __init__(self, batches: Any, evaluate: Callable[[], Any]) -> None:
        self._batches = batches
        self._evaluate = evaluate
        self._evaluating = 0.0  # seconds
        self._asked: dict[int, float] = {}  # when a block was asked for, by its first step
        self.stepped: dict[int, float] = {}  # when the steps up to this one were taken

    def blocks(self, step: int) -> Any:
        self._asked[step] = time.perf_counter()
        for block in self._batches.blocks(step):
            yield block
            step += block.order.shape[0]
            self._asked[step] = time.perf_counter()

    def evaluate(self) -> Any:
        start = time.perf_counter()
        scores = self._evaluate()
        self._evaluating += time.perf_counter() - start
        return scores

    def figures(self, start: int, stop: int) -> tuple[float, float]:
        """Returns what :func:`_trainer` does; there is no evaluation before ``start``."""
        seconds = self._asked[stop] - self._asked[start]
        between = sum(self._asked[step] - at for step, at in self.stepped.items() if step > start)
        telling = between - self._evaluating
        return (stop - start) / (seconds - self._evaluating), telling / seconds


def _trainer(data_path: Literal["resident", "streaming"], steps: int) -> tuple[float, float]:
    """Runs this project's trainer as in production on the examples of MNIST.

    Args:
        data_path: See ``--data-path``.
        steps: To take after the first 200, which warm up.

    Returns:
        Steps a second, evaluations aside, and the share of the time, evaluations included, that
        status lines, summaries and checkpoints took.
    """
    import contextlib
    import io

    import tensorflow as tf

    from components.shared.manifests import Dataset
    from components.train.batches import Share, open_batches
    from components.train.checkpoints import Checkpoints
    from components.train.cluster import Cluster
    from components.train.fit import _evaluation, _Training
    from components.train.state import State
    from components.train.summaries import Summaries
    from pipeline.config import Train

    examples = Path(os.environ["EXAMPLES"])
    dataset = Dataset.read(examples)
    share = Share(dataset.files(examples, "train"), 55_000, BATCH, worker=0)
    config = Train(max_steps=200 + steps, data_path=data_path)
    state = State.initial(config)
    evaluate = _evaluation(dataset, examples, state, data_path == "resident")
    evaluate()  # reads the splits and compiles
    watch = _Stopwatch(open_batches(config, share), evaluate)

    class TimedSummaries(Summaries):
        def status(self, step: int, figures: dict[str, float], seconds: float) -> None:
            watch.stepped[step] = time.perf_counter()
            super().status(step, figures, seconds)

    with tempfile.TemporaryDirectory() as logs, contextlib.redirect_stdout(io.StringIO()):
        checkpoints = Checkpoints(Path(logs), state, config.keep_checkpoints)
        strategy = tf.distribute.get_strategy()
        with TimedSummaries(Path(logs), config, state) as summaries:
            training = _Training(config, Cluster((), 0), state, strategy, checkpoints)
            training.run(watch, summaries, watch.evaluate)
    return watch.figures(200, config.max_steps)


def resident() -> tuple[float, float]:
    """This trainer, the split in memory; a default run, all that it tells and saves on."""
    from pipeline.config import Train

    return _trainer("resident", Train().max_steps)


def streaming() -> float:
    """This trainer, the split streamed from its shards."""
    return _trainer("streaming", STEPS)[0]


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


CONTENDERS = {
    function.__name__: function
    for function in (
        resident,
        streaming,
        tutorial,
        keras,
        keras_best,
        pytorch,
        jax_scan,
        matrix_product,
    )
}
IN_PEERS = {"pytorch", "jax_scan"}


def measure(name: str, examples: Path) -> list[float] | None:
    """Runs a contender in a process of its own; None where its package is not there.

    Returns:
        Steps a second; for ``resident`` also the share of the time that telling took.
    """
    python = os.environ.get("PEERS", sys.executable) if name in IN_PEERS else sys.executable
    process = subprocess.run(
        [python, "-m", "bench.train", name],
        env={**ENVIRONMENT, "EXAMPLES": str(examples)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "ModuleNotFoundError" in process.stderr:
        return None
    if process.returncode:
        raise SystemExit(process.stderr)
    return [float(figure) for figure in json.loads(process.stdout.splitlines()[-1])]


def main() -> None:
    """Measures all contenders in turns and prints the table."""
    from rich.console import Console
    from rich.table import Table

    from components.ingest.ingest import ingest
    from pipeline.config import Ingest, Train

    with tempfile.TemporaryDirectory() as directory:
        examples = Path(directory) / "examples"
        ingest(Ingest(source=str(MNIST)), examples)
        rates: dict[str, list[float]] = {}
        shares: list[float] = []
        for _ in range(ROUNDS):
            for name in CONTENDERS:
                if (measured := measure(name, examples)) is not None:
                    rates.setdefault(name, []).append(measured[0])
                    shares += measured[1:]
    medians = {name: statistics.median(values) for name, values in rates.items()}
    share = statistics.median(shares)
    table = Table("Contender", "Steps/s", "This trainer is faster by", title=f"Batch {BATCH}")
    for name, median in medians.items():
        description = (CONTENDERS[name].__doc__ or name).rstrip(".")
        table.add_row(description, f"{median:,.0f}", f"{medians['resident'] / median:.2f}")
    Console(width=110).print(table)
    for name in CONTENDERS.keys() - rates.keys():
        print(f"left out, its package is not installed: {name}")
    utilization = medians["resident"] / medians["matrix_product"]
    print(f"share of the matrix-product rate: {utilization:.0%}")
    print(f"status lines, summaries and checkpoints: {share:.1%} of the time of a default run")
    print(f"medians of {ROUNDS}, {STEPS} steps each, but for a default run's {Train().max_steps}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(np.atleast_1d(CONTENDERS[sys.argv[1]]()).tolist()))
    else:
        main()
