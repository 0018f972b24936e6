"""Whole runs of the pipeline through kfp.local, as ``make local`` starts them."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.config import Train
from tests.conftest import ROOT, Command


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def blessed(command: Command, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run on MNIST with the default settings: its directory, and what it showed.

    The directory's name has a space and "python3" in it, and the run a directory of its own for
    what is temporary.
    """
    directory = tmp_path_factory.mktemp("a python3 course")
    (directory / "tmp").mkdir()
    process = command(
        "pipeline",
        "local",
        *("--runs", directory / "runs"),
        *("--destination", directory / "registry"),
        environment={"TMPDIR": str(directory / "tmp")},
    )
    return directory, process.stdout


def test_default_run_writes_the_tutorials_splits(blessed: tuple[Path, str]) -> None:
    dataset = read(blessed[0] / "runs/latest/ingest/examples/dataset.json")
    records = {name: split["records"] for name, split in dataset["splits"].items()}
    assert records == {"train": 55_000, "validation": 5_000, "test": 10_000}


def test_default_run_is_accurate(blessed: tuple[Path, str]) -> None:
    evaluation = read(blessed[0] / "runs/latest/evaluate/evaluation/evaluation.json")
    assert evaluation["splits"]["test"]["precision_at_1"] >= 0.978


def test_default_run_publishes_the_blessed_model(blessed: tuple[Path, str]) -> None:
    registry = blessed[0] / "registry/digits"
    version = str(read(registry / "champion.json")["version"])
    assert (registry / version / "saved_model.pb").is_file()


def test_default_run_ends_with_a_summary(blessed: tuple[Path, str]) -> None:
    summary = read(blessed[0] / "runs/latest/summary/summary")
    assert summary["state"] == "succeeded"
    assert summary["outcome"].startswith("Run succeeded: published digits version 1 to ")


def test_default_run_shows_what_a_person_wants_to_see(blessed: tuple[Path, str]) -> None:
    directory, shown = blessed
    assert "train | Step 100: loss = " in shown
    assert f"train | Step {Train().max_steps}: loss = " in shown
    for split, examples in (("Train", 55_000), ("Validation", 5_000), ("Test", 10_000)):
        assert f"evaluate | {split} Data Eval:" in shown
        assert f"Num examples: {examples}  Num correct: " in shown
    table = shown[shown.index("Seconds") :]
    assert "Blessed: " in table
    assert "Published digits" in table
    for place in ("train/model", "evaluate/evaluation/report.html", "train/logs"):
        path = (directory / "runs/latest").resolve() / place
        assert path.exists()
        assert str(path) in table
    assert "KFP Executor" not in shown and "E0000" not in shown


def test_default_run_leaves_nothing_temporary(blessed: tuple[Path, str]) -> None:
    assert list((blessed[0] / "tmp").iterdir()) == []


def test_default_run_is_known_by_its_name(blessed: tuple[Path, str]) -> None:
    latest = (blessed[0] / "runs/latest").resolve()
    run = read(latest / "run.json")
    version = Path(run["published"])
    assert run["name"] == latest.name
    assert run["outcome"] == "published" and run["precision"] >= 0.978
    assert read(version / "manifest.json")["run_id"] == latest.name
    assert read(version / "model.json")["commit"] == run["commit"]
    assert (latest / "kfp.log").stat().st_size > 0


def test_unblessed_model_is_not_pushed(command: Command, tmp_path: Path) -> None:
    process = command(
        "pipeline",
        "local",
        *("--runs", tmp_path / "runs"),
        *("--destination", tmp_path / "registry"),
        *("--max-steps", 200, "--min-precision", 0.9999),
    )
    evaluation = read(tmp_path / "runs/latest/evaluate/evaluation/evaluation.json")
    assert not all(verdict["passed"] for verdict in evaluation["verdicts"])
    assert not (tmp_path / "registry").exists()
    assert not (tmp_path / "runs/latest/push").exists()
    assert "skipped: the model is not blessed" in process.stdout
    summary = read(tmp_path / "runs/latest/summary/summary")
    assert summary["state"] == "not blessed"
    assert "not published: test precision@1" in summary["outcome"]


def test_failed_step_names_itself_its_error_and_its_log(command: Command, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    process = command("pipeline", "local", "--runs", tmp_path / "runs", "--source", empty, expect=1)
    assert f"ingest failed: {empty}: no files, expected " in process.stdout
    log = (tmp_path / "runs/latest").resolve() / "ingest/log.txt"
    assert f"Log: {log}" in process.stdout
    assert f"error: {empty}: no files" in log.read_text(encoding="utf-8")
    assert "Traceback" not in process.stdout + process.stderr
    assert "not run" in process.stdout
    summary = read(tmp_path / "runs/latest/summary/summary")
    assert summary["outcome"].startswith(f"Run failed: ingest: {empty}: no files")


def alive(session: int) -> list[str]:
    """Returns the command lines of what still runs of a session, but for zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found.append((stat.parent / "cmdline").read_text().replace("\0", " "))
    return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a run in a session of its own."""
    places = ("--runs", tmp_path / "runs", "--destination", tmp_path / "registry")

    with contextlib.ExitStack() as stack:

        def run(*arguments: object) -> subprocess.Popen[str]:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "pipeline", "local", *map(str, arguments), *places],
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,
                )
            )
            stack.callback(process.kill)
            return process

        yield run


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    assert any(text in line for line in process.stdout), f"ended before {text!r}"


def gone(session: int, seconds: float = 30) -> bool:
    """Waits until nothing runs of a session any more; tells whether that came."""
    end = time.monotonic() + seconds
    while alive(session) and time.monotonic() < end:
        time.sleep(0.1)
    return not alive(session)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_killed_run_leaves_no_process(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("--source", "fake://3000000")
    wait_for(process, "ingest: running")
    # Until Beam has its workers, which are processes of ingest's own.
    while not any("components.jobs.worker" in line for line in alive(process.pid)):
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    assert gone(process.pid), alive(process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_saves_and_says_how_to_go_on(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, number: signal.Signals
) -> None:
    process = start("--source", "fake://3000", "--max-steps", 10**7, "--log-every", 20)
    wait_for(process, "train | Step 20:")
    process.send_signal(number)  # to the run alone; a terminal's goes to its steps, too
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert gone(process.pid), alive(process.pid)
    checkpoints = (tmp_path / "runs").glob("digits-*/train/logs/ckpt-*.index")
    steps = {int(path.stem.split("-")[1]): path for path in checkpoints}  # evaluations save, too
    step, saved = max(steps.items())
    assert "Interrupted in train" in told
    assert f"with the checkpoint of step {step:,}" in told
    assert f"--checkpoints {saved.parent}" in told
    assert "Traceback" not in told and "Aborted" not in told
    assert read(saved.parents[2] / "run.json")["outcome"] == "interrupted"
    [_] = (tmp_path / "runs/.compiled").glob("*/*.pb.*")  # the loop, for the run that goes on
