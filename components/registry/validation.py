"""Validation: a fresh process loads the model and answers, before anybody else asks it.

Nothing of the model has touched that process before. Source: TFX, component InfraValidator.
"""

import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from pydantic import ValidationError

from components.config import Push
from components.registry.state import Validation
from components.shared.environment import FORKABLE
from components.shared.errors import StepError

SAMPLES = "samples.npz"  # written by evaluate: images, and what the model said of them
TOLERANCE = 1e-4  # by which a probability may depend on batch size and machine
TIMEOUT = 600  # seconds
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
# Set where this process has TensorFlow imported and has not used it, as a local run's steps have.
# A fork of it is as fresh as a new process, without the seconds of the import.


def validate(config: Push, saved_model: Path, samples: Path | None) -> Validation:
    """Loads a SavedModel in a fresh process, has it answer samples, and measures it.

    Args:
        config: The bounds.
        saved_model: The SavedModel.
        samples: The file of samples that evaluate wrote for it; None where there is none: both
            signatures then have to agree on random images.

    Raises:
        StepError: It does not load, answers otherwise than before, or is too slow or too large.
    """
    if samples and not samples.is_file():
        raise StepError(f"{samples}: not found; evaluate the model with this version first")
    output = run_fresh("components.registry.probe", saved_model, *filter(None, [samples]))
    try:
        found = Validation.model_validate_json(output.splitlines()[-1])
    except (IndexError, ValidationError):
        raise StepError(f"{saved_model}: the validating process gives no figures") from None
    check_bounds(config, saved_model, found)
    return found


def check_bounds(config: Push, saved_model: Path, found: Validation) -> None:
    """Holds what was found against the bounds.

    Raises:
        StepError: One is exceeded.
    """
    if not found.largest_difference <= TOLERANCE:
        raise StepError(
            f"{saved_model}: answers differ by up to {found.largest_difference:.3g} from what "
            f"evaluate saw, expected at most {TOLERANCE:g}; evaluate it again"
        )
    slowest = max(found.latency_ms.values())
    if slowest > config.max_serving_ms:
        raise StepError(
            f"{saved_model}: a request takes {slowest:.1f} ms, expected at most "
            f"{config.max_serving_ms:g}; take a smaller model or raise --max-serving-ms"
        )
    mib = found.size_bytes / 2**20
    if mib > config.max_model_mib:
        raise StepError(
            f"{saved_model}: {mib:.1f} MiB, expected at most {config.max_model_mib:g}; take a "
            "smaller model or raise --max-model-mib"
        )


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
        lines = ended.errors.strip().splitlines() or [f"exit code {ended.exit_code}"]
        raise StepError(f"not published: {lines[-1].removeprefix('error: ')}")
    return ended.output


class _Ended(NamedTuple):
    exit_code: int
    output: str
    errors: str


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
