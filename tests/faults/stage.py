"""A process that has everything imported, and forks one after another that meets a fault.

The tests' own process has threads and may have used TensorFlow, after which it cannot be forked.
"""

import importlib
import os
import runpy
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

from components.shared.environment import FORKABLE
from components.shared.process import end_with_parent
from tests.faults.power_cut import Record, Recorder
from tests.faults.system_calls import Ended, fails, supervise


class Stage:
    """Runs one thing after another, each in a fresh fork.

    Args:
        modules: What they need, TensorFlow as well: it is imported and not used.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._connection, other = get_context("spawn").Pipe()
        self._process = get_context("spawn").Process(target=_stage, args=(other, modules))
        self._process.start()
        other.close()

    def close(self) -> None:
        self._connection.close()
        self._process.join()

    def run(
        self,
        work: Callable[[], object],
        root: Path,
        fault: tuple[int, int] = (0, 0),
        started: Callable[[int], None] = lambda process: None,
    ) -> tuple[Ended, Record]:
        """Runs some work, and returns how it ended, and what it did to a directory.

        Args:
            work: What can be pickled.
            root: The directory.
            fault: The number of a call, from 1, and the error that it meets; 0: the end.
            started: Is called with the id of its process once there is one.
        """
        self._connection.send((work, root, fault))
        started(self._connection.recv())
        answer: tuple[Ended, Record] = self._connection.recv()
        return answer


def module(name: str, *arguments: object) -> Callable[[], object]:
    """Returns what ``python -m name arguments`` does, for a stage."""
    return partial(_run_module, name, [str(argument) for argument in arguments])


def without_fsync(
    place: tuple[str, int] | None, work: Callable[[], object]
) -> Callable[[], object]:
    """Returns what does some work, but not the fsync of a place in the code, by file and line."""
    return partial(_without_fsync, place, work) if place else work


def _without_fsync(place: tuple[str, int], work: Callable[[], object]) -> None:
    fsync = os.fsync

    def left_out(descriptor: Any) -> None:
        frame: FrameType | None = sys._getframe(1)
        while frame and (frame.f_code.co_filename, frame.f_lineno) != place:
            frame = frame.f_back
        if not frame:
            fsync(descriptor)

    vars(os)["fsync"] = left_out  # in a fork that ends with the work
    work()


def _run_module(name: str, arguments: list[str]) -> None:
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _stage(connection: Connection, modules: Sequence[str]) -> None:
    end_with_parent()
    os.environ |= {FORKABLE: "true", "TF_CPP_MIN_LOG_LEVEL": "3"}
    for name in modules:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as scratch:
        while True:
            try:
                work, root, fault = connection.recv()
            except EOFError:
                return
            recorder = Recorder(root, fails(*fault))
            ended = supervise(work, root, Path(scratch), recorder, connection.send)
            connection.send((ended, recorder.record()))
