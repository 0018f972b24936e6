"""What the tests share: a small real source, and what each step makes of it."""

import fcntl
import inspect
import os
import shutil
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
MakeOnce = Callable[[str, Callable[[Path], object]], Path]


def with_small_files(
    limit: int, directory: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m <arguments>`` in a directory; no file may have more bytes than the limit."""
    code = (
        "import os, resource, runpy, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "directory, *sys.argv = sys.argv[1:]\n"
        "os.chdir(directory)\n"
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    return run_forked("-c", code, directory, *arguments, environment={"PYTHONPATH": str(ROOT)})


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
def fast_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has KFP read its caller's name, and no more, from the stack.

    For the source of every frame Python goes through all modules, thousands with TensorFlow's, so
    that a pipeline would take seconds to compile.
    """

    def stack() -> list[tuple[object, ...]]:
        return [(None, None, None, sys._getframe(depth).f_code.co_name) for depth in (1, 2)]

    monkeypatch.setattr(inspect, "stack", stack)


@pytest.fixture
def outcomes(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Outcomes:
    """What came of a step of this name, as a runner on this machine reads it."""
    directory = tmp_path_factory.mktemp("outcomes")
    monkeypatch.setenv(OUTCOMES, str(directory))
    return lambda step: Outcome.read(directory, step)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Has a directory filled by the first of pytest's workers to need it; the others wait."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        directory, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(directory, ignore_errors=True)  # of a worker that failed
                directory.mkdir()
                fill(directory)
                done.touch()
        return directory

    return make


@pytest.fixture(scope="session")
def small_source(made_once: MakeOnce) -> Path:
    """A directory of IDX files: the first digits of MNIST."""
    return made_once(
        "source",
        lambda directory: write_source(
            directory,
            read_mnist(MNIST, "train", VALIDATION + TRAIN),
            read_mnist(MNIST, "t10k", TEST),
        ),
    )


@pytest.fixture(scope="session")
def examples(small_source: Path, made_once: MakeOnce) -> Path:
    """The examples directory of the small source, not to be written to."""
    from components.config import Ingest
    from components.ingest.ingest import ingest

    config = Ingest(source=str(small_source), validation_size=VALIDATION, shard_size=1_000)
    return made_once("ingested", lambda made: ingest(config, made / "examples")) / "examples"


@pytest.fixture(scope="session")
def model(examples: Path, made_once: MakeOnce) -> Path:
    """A model directory trained for 300 steps on the small source, not to be written to."""
    from components.config import Train
    from components.train.train import train_and_evaluate

    config = Train(max_steps=300)
    made = made_once(
        "trained", lambda made: train_and_evaluate(config, examples, made / "model", made / "logs")
    )
    return made / "model"


@pytest.fixture(scope="session")
def evaluation(examples: Path, model: Path, made_once: MakeOnce) -> Path:
    """The evaluation directory of that model, blessed, not to be written to."""
    from components.config import Evaluate
    from components.evaluate.evaluate import evaluate

    lenient = Evaluate(min_precision=0.5, min_class_recall=0.2, max_gap=0.5)
    made = made_once(
        "evaluated", lambda made: evaluate(lenient, examples, model, made / "evaluation")
    )
    return made / "evaluation"


@pytest.fixture(scope="session")
def published(model: Path, evaluation: Path, made_once: MakeOnce) -> Path:
    """A registry whose champion is the session's model, not to be written to."""
    made = made_once("published", lambda made: publish(model, made / "registry", evaluation))
    return made / "registry"
