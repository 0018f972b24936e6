"""``python`` without the seconds of its imports: forked from a process that has them done.

TensorFlow, Beam and the classes of this project take longer to import than most tests' processes
take for all that they are started for. So Python's fork server imports them once, as it does in a
local run (see :mod:`pipeline.local.processes`), and from there a program runs as ``__main__`` in a
process of its own. That the interpreter starts each step, too, is seen in tests/e2e/test_twice.py.
"""

import atexit
import logging
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Self

from components.shared.environment import COMPILED_LOOPS, FORKABLE
from tests.services import ROOT

# The package itself has the variables in it that TensorFlow goes by when it is imported.
LIBRARIES = ["components", "apache_beam", "boto3", "google.cloud.storage", "rich.table"]
# What many begin with: its classes take pydantic as long as many a test's process works. None of it
# uses TensorFlow when it is imported, as tests/faults has it, too.
SHARED = [
    "components.evaluate.evaluate",
    "components.ingest.ingest",
    "components.registry.registry",
]
CONTEXT = get_context("forkserver")
# Where a fork is not safe after such an import, on macOS, each process imports for itself.
CONTEXT.set_forkserver_preload([*LIBRARIES, *SHARED, __name__] if sys.platform == "linux" else [])

# Trainings that compile the same take it from there.
LOOPS = {COMPILED_LOOPS: str(ROOT / "build" / "loops")}


class Forked:
    """A process that does ``python -u <arguments>``, with the names of subprocess.Popen.

    Args:
        arguments: ``-m``, the name of a module and its command line, or ``-c`` and a text.
        environment: Variables besides those of this process.
        merged: Whether what it prints as errors goes to ``stdout``, too; else it is ``stderr``.
        imported: Whether the imports are done; else it is an interpreter of its own.
    """

    def __init__(
        self,
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        merged: bool = False,
        imported: bool = True,
    ) -> None:
        context = CONTEXT if imported else get_context("spawn")
        pipes = [context.Pipe(duplex=False) for _ in range(1 if merged else 2)]
        self._printed = [os.fdopen(os.dup(read.fileno()), encoding="utf-8") for read, _ in pipes]
        self.stdout = self._printed[0]
        variables = {**LOOPS, **os.environ, **(environment or {})}
        self._process = context.Process(
            target=_run,
            args=([*map(str, arguments)], variables, [write for _, write in pipes]),
        )
        self._process.start()
        atexit.register(self._process.kill)  # else the tests would wait for one that is left
        for end in (end for pipe in pipes for end in pipe):
            end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()
        for stream in self._printed:
            stream.close()

    @property
    def returncode(self) -> int | None:
        """The exit code, below 0 where a signal ended it; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end and returns the exit code.

        Raises:
            subprocess.TimeoutExpired: It has not ended within as many seconds.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Reads all that it prints, and kills it after as many seconds."""
        killer = threading.Timer(timeout, self.kill)
        killer.daemon = True
        killer.start()
        try:
            with ThreadPoolExecutor(2) as readers:
                output, errors = [*readers.map(lambda stream: stream.read(), self._printed), ""][:2]
            self.wait()
        finally:
            killer.cancel()
        return output, errors

    def send_signal(self, number: signal.Signals) -> None:
        """Sends it a signal, unless it has ended."""
        if self.returncode is None and self._process.pid:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Ends it with no warning."""
        self._process.kill()


def run_forked(
    *arguments: object, environment: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Does ``python <arguments>`` to its end, or for as many seconds; see :class:`Forked`."""
    with Forked(*arguments, environment=environment) as process:
        output, errors = process.communicate(timeout)
    return subprocess.CompletedProcess([*map(str, arguments)], process.wait(), output, errors)


def _run(
    arguments: Sequence[str], variables: dict[str, str], outputs: Sequence[Connection]
) -> None:
    os.chdir(ROOT)
    os.environ.clear()
    os.environ |= {**variables, FORKABLE: "true"}  # as a local run says of its forks
    for stream, output in zip((1, 2), [*outputs, *outputs][:2], strict=True):
        os.dup2(output.fileno(), stream)
    for output in outputs:
        output.close()
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    tempfile.tempdir = None  # to be found anew, where the variables say
    logging.getLogger().handlers.clear()  # of Beam's import
    kind, program, *rest = arguments
    sys.argv = [program, *rest]
    try:
        if kind == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
    finally:
        atexit._run_exitfuncs()  # which an interpreter runs at its end, and a fork does not
