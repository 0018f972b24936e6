"""How fast training is, beside other ways to train the same network on the same data.

Every contender is a process of its own, since their thread pools disturb each other; they take
turns, and the medians count. Run it with ``make bench-train``; a contender whose package is not
there is left out and named. PyTorch and JAX may live in another environment: ``PEERS=…/python``.
With ``--load`` one core is kept half busy by something else; names of contenders take only those.
"""

import argparse
import contextlib
import functools
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench import contenders
from bench.contenders import BATCH, STEPS
from bench.mnist import MNIST

if TYPE_CHECKING:  # PyTorch and JAX may live in an environment without them
    from components.config import Train
    from components.shared.manifests import Score

ROUNDS = int(os.environ.get("ROUNDS", "5"))
ENVIRONMENT = dict(os.environ)  # before this project's import sets TensorFlow up for itself


class Stopwatch:
    """Stands between the trainer and its batches and evaluation, and says where the time went."""

    def __init__(self, batches: Any, evaluate: Callable[[], Any]) -> None:
        self._batches = batches
        self._evaluate = evaluate
        self._evaluating = 0.0  # seconds
        self._start = time.perf_counter()
        self._asked: dict[int, float] = {}  # when a block was asked for, by its first step
        # Seconds since the start, evaluations aside, and what each evaluation found.
        self.evaluations: list[tuple[float, dict[str, Score]]] = []
        self.stepped: dict[int, float] = {}  # when the steps up to this one were taken

    def blocks(self, step: int) -> Any:
        """Passes the blocks on, and notes when each was asked for."""
        self._asked[step] = time.perf_counter()
        for block in self._batches.blocks(step):
            yield block
            step += block.order.shape[0]
            self._asked[step] = time.perf_counter()

    def evaluate(self) -> Any:
        """Evaluates, while the clock stands."""
        start = time.perf_counter()
        scores = self._evaluate()
        self.evaluations.append((start - self._start - self._evaluating, scores))
        self._evaluating += time.perf_counter() - start
        return scores

    def figures(self, start: int, stop: int) -> tuple[float, float]:
        """Returns steps a second, and the share of the time that reporting and saving took.

        Evaluations aside; there is none before ``start``.
        """
        seconds = self._asked[stop] - self._asked[start]
        between = sum(self._asked[step] - at for step, at in self.stepped.items() if step > start)
        telling = between - self._evaluating
        training = seconds - self._evaluating
        return (stop - start) / training, telling / training


def train(config: "Train") -> Stopwatch:
    """Runs this project's trainer as in production on the examples of MNIST.

    The clock starts when the splits are loaded and the evaluation is compiled.
    """
    import tensorflow as tf

    from components.shared.manifests import SPLITS, Dataset
    from components.shared.shards import Shards
    from components.train.batches import Share, open_batches
    from components.train.checkpoints import Checkpoints
    from components.train.distributed.cluster import Cluster
    from components.train.fit import _evaluation, _Training
    from components.train.model import State
    from components.train.networks.network import open_network
    from components.train.summaries import Summaries

    examples = Path(os.environ["EXAMPLES"])
    dataset = Dataset.read(examples)
    shape, greys = dataset.image_shape, dataset.splits["train"]
    share = Share.of(Shards.of(dataset, examples, "train"), config.batch_size)
    network = open_network(config, shape, 10, (greys.pixel_mean, greys.pixel_stddev))
    state = State.initial(config, network)
    score = _evaluation(dataset, examples, state, config.data_path != "streaming")
    evaluate = functools.partial(score, SPLITS)
    evaluate()  # reads the splits and compiles
    watch = Stopwatch(open_batches(config, share), evaluate)

    class TimedSummaries(Summaries):
        def status(self, step: int, figures: dict[str, float], seconds: float) -> None:
            watch.stepped[step] = time.perf_counter()
            super().status(step, figures, seconds)

    with tempfile.TemporaryDirectory() as logs, contextlib.redirect_stdout(io.StringIO()):
        checkpoints = Checkpoints(Path(logs), state, config.keep_checkpoints)
        strategy = tf.distribute.get_strategy()
        with TimedSummaries(Path(logs), config, state, shape) as summaries:
            training = _Training(config, Cluster((), 0), shape, state, strategy, checkpoints)
            training.run(watch, summaries, watch.evaluate)
    return watch


def _rates(data_path: Literal["resident", "streaming"], steps: int) -> tuple[float, float]:
    """Returns what :meth:`Stopwatch.figures` does, of steps after the first 200, which warm up."""
    from bench.accuracy import PLAIN
    from components.config import Train

    config = Train(**{**PLAIN, "max_steps": 200 + steps, "data_path": data_path})
    return train(config).figures(200, config.max_steps)


def resident() -> tuple[float, float]:
    """This trainer, the split in memory; a whole run, all that it tells and saves on."""
    from bench.accuracy import PLAIN

    return _rates("resident", PLAIN["max_steps"])


def streaming() -> float:
    """This trainer, the split streamed from its shards."""
    return _rates("streaming", STEPS)[0]


CONTENDERS = {
    function.__name__: function
    for function in (
        resident,
        streaming,
        contenders.tutorial,
        contenders.keras,
        contenders.keras_best,
        contenders.pytorch,
        contenders.jax_scan,
        contenders.matrix_product,
    )
}
IN_PEERS = {"pytorch", "jax_scan", "jax"}


def apart(module: str, name: str, examples: Path, *arguments: str) -> Any | None:
    """Runs a bench's ``--one`` contender in a process of its own.

    Returns:
        What it prints last, in JSON; None where the contender's package is not there.
    """
    python = os.environ.get("PEERS", sys.executable) if name in IN_PEERS else sys.executable
    process = subprocess.run(
        [python, "-m", module, "--one", name, *arguments],
        env={**ENVIRONMENT, "EXAMPLES": str(examples)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "ModuleNotFoundError" in process.stderr:
        return None
    if process.returncode:
        raise SystemExit(process.stderr)
    return json.loads(process.stdout.splitlines()[-1])


# Half of every ten milliseconds.
HALF_BUSY = """
import time
while True:
    end = time.perf_counter() + 0.005
    while time.perf_counter() < end:
        pass
    time.sleep(0.005)
"""


@contextlib.contextmanager
def half_busy() -> Iterator[None]:
    """Keeps one core half busy; Linux only."""
    process = subprocess.Popen([sys.executable, "-c", HALF_BUSY])
    try:
        os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
        yield
    finally:
        process.kill()
        process.wait()


def measure_all(names: list[str]) -> tuple[dict[str, float], float]:
    """Measures contenders in turns.

    Returns:
        The medians of their steps a second, and of the share of the time that telling took
        ``resident``; NaN where that was not asked for.
    """
    from components.config import Ingest
    from components.ingest.ingest import ingest

    rates: dict[str, list[float]] = {}
    shares: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        examples = Path(directory) / "examples"
        ingest(Ingest(source=str(MNIST)), examples)
        for _ in range(ROUNDS):
            for name in names:
                if (measured := apart("bench.train", name, examples)) is not None:
                    rates.setdefault(name, []).append(measured[0])
                    shares += measured[1:]
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return medians, statistics.median(shares or [float("nan")])


def main(names: list[str]) -> None:
    """Measures contenders and prints the table."""
    from rich.console import Console
    from rich.table import Table

    from bench.accuracy import PLAIN

    medians, share = measure_all(names)
    first = names[0]
    table = Table("Contender", "Steps/s", f"{first} is faster by", title=f"Batch {BATCH}")
    for name, median in medians.items():
        description = (CONTENDERS[name].__doc__ or name).rstrip(".")
        table.add_row(description, f"{median:,.0f}", f"{medians[first] / median:.2f}")
    Console(width=110).print(table)
    for name in names:
        if name not in medians:
            print(f"left out, its package is not installed: {name}")
    if "matrix_product" in medians:
        utilization = medians[first] / medians["matrix_product"]
        print(f"share of the matrix-product rate: {utilization:.0%}")
    print(f"status lines, summaries and checkpoints: {share:.1%} of the time, evaluations aside")
    print(f"medians of {ROUNDS}, {STEPS} steps each, but for a whole run's {PLAIN['max_steps']}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(CONTENDERS)}")
    parser.add_argument("--load", action="store_true", help="keep one core half busy")
    parser.add_argument("--one", choices=CONTENDERS, help="measure this one in this process")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(np.atleast_1d(CONTENDERS[given.one]()).tolist()))
    else:
        with half_busy() if given.load else contextlib.nullcontext():
            main(given.names or list(CONTENDERS))
