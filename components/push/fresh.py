"""A module run in a fresh process: nothing of the model has touched that before."""

import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from components.shared.environment import FORKABLE
from components.shared.errors import StepError

TIMEOUT = 600  # seconds
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
# Set where this process has TensorFlow imported and has not used it, as a local run's steps have.
# A fork of it is as fresh as a new process, without the seconds of the import.


class _Ended(NamedTuple):
    exit_code: int
    output: str
    errors: str


def run_fresh(module: str, *arguments: object) -> str:
    """Runs a module in a process of its own and returns what it printed.

    Raises:
        StepError: It failed; says why.
    """
    run = _fork if os.environ.get(FORKABLE) and "tensorflow" in sys.modules else _start
    try:
        ended = run(module, [str(argument) for argument in arguments])
    except TimeoutError:
        raise StepError(f"{arguments[0]}: no answer within {TIMEOUT} s; not published") from None
    if ended.exit_code:
        said = ended.errors.strip().splitlines() or [f"exit code {ended.exit_code}"]
        raise StepError(f"not published: {said[-1].removeprefix('error: ')}")
    return ended.output


def _start(module: str, arguments: Sequence[str]) -> _Ended:
    try:
        process = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, **QUIET},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return _Ended(process.returncode, process.stdout, process.stderr)


def _fork(module: str, arguments: Sequence[str]) -> _Ended:
    with TemporaryDirectory() as scratch:
        printed = [Path(scratch) / "output", Path(scratch) / "errors"]
        for path in printed:
            path.touch()
        process = get_context("fork").Process(
            target=_run, args=(module, arguments, printed), daemon=True
        )
        process.start()
        process.join(TIMEOUT)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError
        return _Ended(process.exitcode, *(path.read_text("utf-8", "replace") for path in printed))


def _run(module: str, arguments: Sequence[str], printed: Sequence[Path]) -> None:
    for stream, path in zip((1, 2), printed, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    os.environ |= QUIET
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
