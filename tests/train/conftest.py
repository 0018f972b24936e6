"""A training run as a process, to be killed, stopped or joined by others.

It is not compiled, unless a test says ``xla=True``: XLA takes longer for that than these runs for
all of their steps.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.config import Train
from components.shared.command_line import argument
from components.shared.environment import trains_with_onednn
from components.train.distributed.cluster import Cluster
from components.train.train import train_and_evaluate
from tests.forked import Forked

Start = Callable[..., Forked]


@pytest.fixture
def start(examples: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts ``python -m components.train`` on the small source, its output read as it comes.

    Options are those of the command line, ``max_steps=100`` for ``--max-steps 100``; ``workers``
    and ``index`` make it one of several. The model goes to ``model`` and the logs to ``logs`` under
    a directory, the test's own unless another is named.
    """
    with ExitStack() as processes:

        def run(
            directory: Path = tmp_path,
            workers: tuple[str, ...] = (),
            index: int = 0,
            **options: object,
        ) -> Forked:
            arguments = {
                "examples": examples,
                "model": directory / "model",
                "logs": directory / "logs",
            }
            chosen = {**arguments, "xla": False, **options}
            words = [argument(name, value) for name, value in chosen.items()]
            task = {"TF_CONFIG": Cluster(workers, index).tf_config} if workers else {}
            # Training switches oneDNN on before it imports TensorFlow.
            imported = not trains_with_onednn(str(options.get("network", Train.network)))
            return processes.enter_context(
                Forked(
                    *("-m", "components.train", *words),
                    environment=task,
                    merged=True,
                    imported=imported,
                )
            )

        yield run


@pytest.fixture
def train_here(examples: Path) -> Callable[..., Path]:
    """Trains in this process, into ``model`` and ``logs`` under a directory; returns that."""

    def run(directory: Path, **options: Any) -> Path:
        config = Train(**{"xla": False, **options})
        train_and_evaluate(config, examples, directory / "model", directory / "logs")
        return directory

    return run


def finish(process: Forked, expect: int = 0) -> str:
    """Waits for a process and returns what it printed."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == expect, output
    return output


def read_until(process: Forked, start: str, times: int = 1) -> str:
    """Reads a process's lines until so many have begun that way; returns the last."""
    for line in process.stdout:
        times -= line.startswith(start)
        if times <= 0:
            return line
    raise AssertionError(f"the process ended before a line that starts with {start!r}")


def weights(directory: Path) -> dict[str, np.ndarray]:
    """Reads the variables of the newest checkpoint in a directory of logs."""
    reader = tf.train.load_checkpoint(str(directory))
    names = [name for name in reader.get_variable_to_shape_map() if "VARIABLE_VALUE" in name]
    return {name: reader.get_tensor(name) for name in sorted(names) if "save_counter" not in name}


def assert_same_weights(one: Path, other: Path) -> None:
    """Asserts that two directories of logs end with the same weights, bit for bit."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def free_addresses(number: int) -> tuple[str, ...]:
    """Returns loopback addresses that nothing listens on."""
    with ExitStack() as sockets:
        found = [sockets.enter_context(socket.socket()) for _ in range(number)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return tuple(f"127.0.0.1:{one.getsockname()[1]}" for one in found)
