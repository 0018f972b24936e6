"""Seconds until the network reaches a precision, beside other frameworks: ``make bench-record``.

Every contender trains 784-128-32-10 on MNIST with each seed, in a process of its own, in turns. The
clock starts once the data are loaded and stops for evaluations, one an epoch; a contender is there
at the first at which the mean of its seeds on the test split reaches the target. Settings were
chosen on validation; test is read only. ``--write`` adds the table to docs/records.md. PyTorch and
JAX may live in another environment: ``PEERS=…/python``; who is not installed is left out and named.
"""

import argparse
import contextlib
import datetime
import io
import itertools
import json
import os
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from bench import peers
from bench.mnist import MNIST
from bench.train import apart, train

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "docs" / "records.md"
TARGET = float(os.environ.get("TARGET", "0.9878"))
SEEDS = int(os.environ.get("SEEDS", "5"))
CONTENDERS = {
    "this": "this project's default",
    "jax": "JAX and Optax' Muon, an epoch a compiled scan",
    "pytorch": "PyTorch and its own Muon, eager",
    "keras": "Keras fit and its own Muon, XLA, an epoch an execution",
    "tutorial": "the tutorial's session, fed a batch a step: gradient descent as by PLAIN",
}
HEADER = (
    "| date | commit | machine | contender | seconds | of which compilation | whole run "
    "| validation | test, lowest to highest |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


class Epoch(NamedTuple):
    """Where a training was at the end of an epoch."""

    seconds: float  # since the start, evaluations aside
    validation: float  # precision@1
    test: float


def this(seed: int) -> list[Epoch]:
    """Trains with this project's trainer and defaults."""
    from components.config import Train

    epoch = peers.IMAGES // Train().batch_size
    config = Train(seed=seed, log_every=epoch, checkpoint_every=epoch)
    with contextlib.redirect_stdout(io.StringIO()):
        watch = train(config)
    return [
        Epoch(seconds, scores["validation"].precision, scores["test"].precision)
        for seconds, scores in watch.evaluations
    ]


def recipe() -> peers.Recipe:
    """Returns the default's settings."""
    from components.config import Train
    from components.train.optimizers import ITERATIONS

    train = Train()
    return peers.Recipe(
        batch=train.batch_size,
        epochs=train.max_steps * train.batch_size // peers.IMAGES,
        rate=train.learning_rate,
        momentum=train.momentum_share,
        iterations=ITERATIONS,
        smoothing=train.label_smoothing,
    )


def row(name: str, runs: list[list[Epoch]]) -> str:
    """Returns a contender's line of the table."""
    commit = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    epochs = list(zip(*runs, strict=True))  # of all seeds
    seconds = [statistics.median(epoch.seconds for epoch in seeds) for seeds in epochs]
    between = [later - earlier for earlier, later in itertools.pairwise(seconds)]
    means = [statistics.fmean(epoch.test for epoch in seeds) for seeds in epochs]
    arrived = next((at for at, mean in zip(seconds, means, strict=True) if mean >= TARGET), None)
    last = sorted(epoch.test for epoch in epochs[-1])
    cells = (
        datetime.date.today().isoformat(),
        subprocess.run(commit, capture_output=True, text=True, check=True).stdout.strip(),
        machine(),
        CONTENDERS[name],
        f"{arrived:.1f}" if arrived else "not reached",
        f"{max(0.0, seconds[0] - statistics.median(between)):.1f}",
        f"{seconds[-1]:.1f}",
        f"{statistics.fmean(epoch.validation for epoch in epochs[-1]):.4f}",
        f"{means[-1]:.4f}, {last[0]:.4f} to {last[-1]:.4f}",
    )
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    """Returns how many cores of which processor there are."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{os.cpu_count()} × {line.partition(':')[2].strip()}"
    return f"{os.cpu_count()} × {platform.machine()}"


def main(names: list[str], write: bool) -> None:
    """Measures contenders in turns and prints their lines."""
    from components.config import Ingest
    from components.ingest.ingest import ingest

    handed = json.dumps(recipe()._asdict())
    runs: dict[str, list[list[Epoch]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as directory:
        examples = Path(directory) / "examples"
        with contextlib.redirect_stdout(io.StringIO()):
            ingest(Ingest(source=str(MNIST)), examples)
        for seed in range(SEEDS):
            for name in names:
                options = ("--seed", str(seed), "--recipe", handed)
                if epochs := apart("bench.record", name, examples, *options):
                    runs[name].append([Epoch(*figures) for figures in epochs])
    print(f"Seconds until the mean of {SEEDS} seeds on test is {TARGET}\n\n{HEADER}")
    rows = [row(name, of_seeds) for name, of_seeds in runs.items() if of_seeds]
    print("\n".join(rows))
    for name in names:
        if not runs[name]:
            print(f"left out, its package is not installed: {name}")
    if write:
        with RECORDS.open("a", encoding="utf-8") as file:
            file.write("\n".join([*rows, ""]))


def _one(name: str, handed: str, seed: int) -> list[Any]:
    if name == "this":
        return this(seed)
    trainings: Any = getattr(peers, name)
    return list(trainings(peers.Recipe(**json.loads(handed)), seed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(CONTENDERS)}")
    parser.add_argument("--write", action="store_true", help="add the lines to docs/records.md")
    parser.add_argument("--one", choices=CONTENDERS, help="train with this one in this process")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", help="what the others train by, in JSON")
    given = parser.parse_args()
    if given.one:
        if given.one != "this" and not given.recipe:  # to be had from config.py, not here
            parser.error(f"--one {given.one}: expected --recipe, too")
        print(json.dumps(_one(given.one, given.recipe, given.seed)))
    else:
        main(given.names or list(CONTENDERS), given.write)
