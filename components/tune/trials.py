"""A trial's training: what ``python -m components.train`` does, in a process of its own.

Importing TensorFlow takes as long as a short trial. So the search imports it once, uses it for
nothing, and every trial is forked from there; where a fork is not safe, on macOS, each imports for
itself.
"""

import importlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import optuna

from components.config import Train, Tune
from components.shared.command_line import exit_on_error
from components.shared.environment import COMPILED_LOOPS, IN_CLUSTER, OUTCOMES
from components.shared.history import HISTORY, rows_of
from components.shared.process import cores, end_with_parent, memory_limit
from components.train.compiled import shared_loops

MEMORY = 1 << 30  # bytes that a trial of a small network takes
MOST = 16  # trials side by side where nobody says how many
VALIDATION = "precision_at_1/validation"
LOG = "log.txt"

Place = dict[str, str]  # the environment that gives a trial its cores or GPU


def places(config: Tune) -> list[Place]:
    """Returns where trials are trained side by side: each with a GPU, or with some of the cores."""
    gpus = _gpus()
    fitting = min(cores(), memory_limit() // MEMORY, MOST)
    number = config.parallel or len(gpus) or max(1, fitting)
    if gpus:
        return [{"CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)]} for index in range(number)]
    threads = str(max(1, cores() // number))
    return [{"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads}] * number


def _gpus() -> list[str]:
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [one for one in visible.split(",") if one.strip() not in ("", "-1")]
    found = [path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")]
    return sorted(found, key=int)


@contextmanager
def prepared(compiled: Path) -> Iterator[None]:
    """Imports what every trial needs, and has trials share their compiled loops for the block.

    Learning rates and the like are inputs of a loop and not part of it
    (:class:`components.train.optimizers.Factors`).

    Args:
        compiled: The loops' directory. What is there, maybe of other settings, is removed.
    """
    shutil.rmtree(compiled, ignore_errors=True)
    if sys.platform == "linux":
        importlib.import_module("components.train.fit")
    try:
        with shared_loops(compiled):
            yield
    finally:
        shutil.rmtree(compiled, ignore_errors=True)


class Training:
    """A trial's process.

    Args:
        trial: The trial.
        config: What it trains.
        examples: The directory that ingest wrote.
        directory: Its own; what an earlier attempt left there is gone on with.
        place: Where it is trained.
    """

    def __init__(
        self, trial: optuna.Trial, config: Train, examples: Path, directory: Path, place: Place
    ) -> None:
        self.trial, self.config, self.directory, self.place = trial, config, directory, place
        self._seen = 0  # the history's time of change when it was last read
        directory.mkdir(parents=True, exist_ok=True)
        context = get_context("fork" if sys.platform == "linux" else "spawn")
        self._process = context.Process(  # type: ignore[attr-defined]
            target=_train, args=(config, examples, directory, place)
        )
        self._process.start()

    @property
    def sentinel(self) -> int:
        """What is ready once it has ended; for :func:`multiprocessing.connection.wait`."""
        return self._process.sentinel

    @property
    def exit_code(self) -> int | None:
        """None while it trains."""
        return self._process.exitcode

    def evaluations(self) -> dict[int, float]:
        """Returns precision@1 on validation by step, where something came in since last time."""
        path = self.directory / "logs" / HISTORY
        try:
            changed = path.stat().st_mtime_ns
            if changed == self._seen:
                return {}
            self._seen = changed
            lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last is half a line
        except FileNotFoundError:
            return {}
        rows = rows_of(lines)
        return {int(row["step"]): row[VALIDATION] for row in rows if VALIDATION in row}

    def kill(self) -> None:
        """Ends it at once; it goes on from its last checkpoint when it is started again."""
        self._process.kill()
        self._process.join()

    def tidy(self) -> None:
        """Removes the checkpoints, which nothing goes on from any more."""
        for path in (self.directory / "logs").glob("ckpt-*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    @property
    def last_line(self) -> str:
        """The last that it printed, without what only says that it is an error."""
        lines = (self.directory / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
        said = lines[-1].removeprefix("error: ") if lines else ""
        return said or f"exit code {self.exit_code}"


def _train(config: Train, examples: Path, directory: Path, place: Place) -> None:
    end_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    descriptor = os.open(directory / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    # What comes of it is the search's to say, and so is what it shares with others.
    for variable in (OUTCOMES, IN_CLUSTER, COMPILED_LOOPS):
        os.environ.pop(variable, None)
    os.environ |= place
    from components.train.train import train_and_evaluate

    with exit_on_error():
        train_and_evaluate(
            config, examples, directory / "model", directory / "logs", ("validation",)
        )
