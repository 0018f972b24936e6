"""What the tests share: a small real source, and what each step makes of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bench.trained import publish
from components.shared.environment import OUTCOMES
from components.shared.outcome import Outcome
from tests.forked import LOOPS, run_forked
from tests.idx_files import read_mnist, write_source
from tests.services import ROOT, pytest_terminal_summary

__all__ = ["ROOT", "publish", "pytest_terminal_summary"]

MNIST = ROOT / "data" / "mnist"
# Enough to learn something from in a second: the splits of the small source.
TRAIN, VALIDATION, TEST = 4_000, 500, 1_000

# Inputs that a test marked fuzz draws; `make fuzz` draws more. No deadline, since machines differ.
FUZZ = int(os.environ.get("FUZZ", "50"))
settings.register_profile(
    "fuzz", max_examples=FUZZ, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fuzz")


def pytest_configure() -> None:
    """Lets tests send Ctrl-C: who is started by nohup, or by a script, has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


Command = Callable[..., subprocess.CompletedProcess[str]]
Outcomes = Callable[[str], Outcome | None]  # by the name of the step


def with_small_files(
    limit: int, directory: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m <arguments>`` in a directory; no file may have more bytes than the limit.

    The new process limits itself. A function that Popen called would need a fork, and one with
    gRPC's threads in it may abort before a program begins.
    """
    code = (
        "import os, resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "os.execv(sys.executable, [sys.executable, '-m', *sys.argv[1:]])"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def command() -> Command:
    """Runs ``python -m <arguments>`` from the project's root and returns the finished process.

    A step is forked, see :mod:`tests.forked`.
    """

    def run(
        *arguments: object, expect: int = 0, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        words = [*map(str, arguments)]
        if words[0].startswith("components."):
            process = run_forked("-m", *words, environment=environment)
        else:
            process = subprocess.run(
                [sys.executable, "-m", *words],
                cwd=ROOT,
                env={**LOOPS, **os.environ, **(environment or {})},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
        assert process.returncode == expect, process.stdout + process.stderr
        return process

    return run


@pytest.fixture
def outcomes(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Outcomes:
    """What came of a step of this name, as a runner on this machine reads it."""
    directory = tmp_path_factory.mktemp("outcomes")
    monkeypatch.setenv(OUTCOMES, str(directory))
    return lambda step: Outcome.read(directory, step)


@pytest.fixture(scope="session")
def small_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of IDX files: the first digits of MNIST."""
    return write_source(
        tmp_path_factory.mktemp("source"),
        read_mnist(MNIST, "train", VALIDATION + TRAIN),
        read_mnist(MNIST, "t10k", TEST),
    )


@pytest.fixture(scope="session")
def examples(small_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples directory of the small source, not to be written to."""
    from components.config import Ingest
    from components.ingest.ingest import ingest

    output = tmp_path_factory.mktemp("ingested") / "examples"
    config = Ingest(source=str(small_source), validation_size=VALIDATION, shard_size=1_000)
    ingest(config, output)
    return output


@pytest.fixture(scope="session")
def model(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory trained for 300 steps on the small source, not to be written to."""
    from components.config import Train
    from components.train.train import train_and_evaluate

    directory = tmp_path_factory.mktemp("trained")
    train_and_evaluate(Train(max_steps=300), examples, directory / "model", directory / "logs")
    return directory / "model"


@pytest.fixture(scope="session")
def evaluation(examples: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evaluation directory of that model, blessed, not to be written to."""
    from components.config import Evaluate
    from components.evaluate.evaluate import evaluate

    output = tmp_path_factory.mktemp("evaluated") / "evaluation"
    lenient = Evaluate(min_precision=0.5, min_class_recall=0.2, max_gap=0.5)
    evaluate(lenient, examples, model, output)
    return output


@pytest.fixture(scope="session")
def published(model: Path, evaluation: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry whose champion is the session's model, not to be written to."""
    destination = tmp_path_factory.mktemp("published") / "registry"
    publish(model, destination, evaluation)
    return destination
