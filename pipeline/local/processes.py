"""The processes of a local run's steps, whose imports are done before their turn comes.

Importing TensorFlow and Beam takes about as long as a default training. So the process of the first
step starts at once, imports, and waits for its command, while kfp compiles the pipeline. Where more
than one step needs TensorFlow, Python's fork server imports it once beside it, and they are forked
from there. Where a fork is not safe after such an import, on macOS, each imports for itself.
"""

import contextlib
import gc
import importlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, NoReturn, Self

from components.shared.environment import FORKABLE, KFP_RUNTIME
from components.shared.process import end_with_parent

ROOT = Path(__file__).resolve().parents[2]
# Libraries alone, nothing of the steps themselves. Importing them starts no thread but OpenBLAS's
# and jemalloc's own, which both see to forks: a test holds that.
LIBRARIES = ["kfp.dsl.executor", "tensorboard.compat.proto.event_pb2", "tensorflow"]
PRELOADED = ["pipeline.local.fork_server", *LIBRARIES] if sys.platform == "linux" else []
GRACE = 30  # seconds that a step gets to end: training saves a checkpoint then
TIDY = 5  # seconds of these for one that has nothing to save; Beam may wait for ever

Show = Callable[[Iterable[str]], None]  # takes what a step prints, line by line


@dataclass(frozen=True)
class Command:
    """What KFP has a step do."""

    function: str
    source: str  # Python, defines the function
    executor_input: dict[str, Any]
    variables: dict[str, str]  # of the environment


class Processes:
    """Where the steps of a run get their processes; leaving it ends those that nobody needed.

    Args:
        imports: What steps import while others work. Their processes start at once, or with the
            first that is forked, where they are forked themselves.
        forked: Steps that are forked from a process that has imported TensorFlow.
    """

    def __init__(self, imports: Mapping[str, Sequence[str]], forked: Sequence[str]) -> None:
        self._forked = forked
        self._later = {name: its for name, its in imports.items() if name in forked}
        independent = {name: its for name, its in imports.items() if name not in forked}
        spawn = get_context("spawn")
        self._waiting = {name: _Process(spawn, modules) for name, modules in independent.items()}
        if forked:
            forkserver.set_forkserver_preload(PRELOADED)
            forkserver.ensure_running()
        self._imported = False  # whether a step has waited for the fork server's imports

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for process in self._waiting.values():
            process.kill()

    def run(self, command: Command, show: Show) -> int:
        """Runs a step to its end, shows what it prints, and returns its exit code.

        An exception here, as Ctrl-C is one, ends the step first.
        """
        try:
            process = self._waiting.pop(command.function, None) or self._start(command.function)
        except (EOFError, ConnectionError):
            show(["error: TensorFlow cannot be imported; see: python -c 'import tensorflow'"])
            return 1
        # What the step leaves there goes with it, however it ends: a fork runs no exit handlers.
        with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            variables = {**command.variables, "TMPDIR": scratch}
            return process.run(replace(command, variables=variables), show)

    def _start(self, function: str) -> "_Process":
        # The summary of a run that failed early does not wait for TensorFlow.
        if not self._imported and function not in self._forked:
            return _Process(get_context("spawn"))
        context = get_context("forkserver")
        process = _Process(context, self._later.pop(function, ()))
        self._imported = True
        others, self._later = self._later, {}
        with contextlib.suppress(EOFError, ConnectionError):  # their own turns will say so
            for name, modules in others.items():
                self._waiting[name] = _Process(context, modules)
        return process


class _Process:
    def __init__(self, context: BaseContext, modules: Sequence[str] = ()) -> None:
        self._commands, commands = context.Pipe()
        printed, output = context.Pipe(duplex=False)
        self._printed = os.fdopen(os.dup(printed.fileno()), encoding="utf-8", errors="replace")
        self._process = context.Process(target=_work, args=(modules, commands, output))  # type: ignore[attr-defined]
        self._process.start()
        for end in (commands, printed, output):
            end.close()

    def run(self, command: Command, show: Show) -> int:
        with self._commands, self._printed:
            try:
                with contextlib.suppress(BrokenPipeError):  # ended already, and says why
                    self._commands.send(command)
                show(self._printed)
            except BaseException:
                self._process.terminate()
                killer = threading.Timer(GRACE, self._process.kill)
                killer.start()
                show(self._printed)  # what it says of its end
                self._process.join()
                killer.cancel()
                raise
            self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._commands.close()
        self._printed.close()


def _work(modules: Sequence[str], commands: Connection, output: Connection) -> None:
    """A step's process: imports, waits for its command, and does it."""
    end_with_parent()
    _print_to(output)
    gc.disable()  # imports make hundreds of thousands of objects and no garbage
    # The run tells a step to end, by one signal; the terminal's Ctrl-C would be a second.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    os.environ[KFP_RUNTIME] = "true"  # as KFP's own command has it: kfp imports no compiler
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(paths)}  # for its own
    from kfp.dsl.executor import Executor

    os.environ[FORKABLE] = "true"
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # what is imported stays: no collection needs to look through it
    gc.enable()
    command: Command = commands.recv()
    commands.close()
    os.environ |= command.variables
    tempfile.tempdir = None  # to be found anew, where the variables say
    namespace: dict[str, Any] = {"__name__": command.function}
    exec(compile(command.source, f"<{command.function}>", "exec"), namespace)
    Executor(command.executor_input, namespace[command.function]).execute()


def _print_to(output: Connection) -> None:
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output.close()
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115


def _end(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.alarm(TIDY)  # which ends the process
    sys.exit(128 + signal.SIGTERM)
