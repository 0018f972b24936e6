"""Runs the pipeline on this machine with ``kfp.local``, and shows a person what happens."""

import contextlib
import io
import itertools
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import kfp.local
from kfp.local import subprocess_task_handler

from pipeline.config import STEPS
from pipeline.display import Display
from pipeline.pipeline import mnist

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class StepRun:
    """One step of a run."""

    name: str
    directory: Path  # holds a directory for each output, and the log
    seconds: float = 0.0
    exit_code: int = 0
    lines: list[str] = field(default_factory=list)  # what the step itself printed

    @property
    def log(self) -> Path:
        """Everything the step's process printed."""
        return self.directory / "log.txt"

    @property
    def result(self) -> str:
        """The last line the step printed: what came of it, or why it failed."""
        return self.lines[-1].strip() if self.lines else ""


def run(parameters: dict[str, Any], runs: Path, debug: bool = False) -> int:
    """Runs the pipeline, a subprocess a step.

    Args:
        parameters: The pipeline's parameters by name.
        runs: Directory under which the run gets its own, ``latest`` pointing to it.
        debug: Shows a failed step's traceback.

    Returns:
        The exit code: 0 where all steps that were to run succeeded, 1 where one failed.
    """
    display = Display(sys.stdout, parameters["max_steps"], debug)
    steps: list[StepRun] = []

    def run_step(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        step = _identify(full_command)
        if not steps:
            _point_latest(runs, step.directory.parent)
        steps.append(step)
        with display.step(step.name):
            _run_process(step, full_command, env_vars or {}, display)
        return step.exit_code

    with _kfp_local(runs, run_step) as kfp_log:
        failed = False
        try:
            mnist(**parameters)
        except RuntimeError:
            failed = True
            if not any(step.exit_code for step in steps):
                raise  # not a step: kfp itself, or the pipeline
    (runs / "latest" / "kfp.log").write_text(kfp_log.getvalue(), encoding="utf-8")
    _show_outcome(display, steps, runs / "latest", parameters)
    return int(failed)


@contextlib.contextmanager
def _kfp_local(runs: Path, run_step: Any) -> Iterator[io.StringIO]:
    """Has kfp.local run its subprocesses through ``run_step``; catches what kfp itself prints."""
    printed = io.StringIO()
    original = subprocess_task_handler.run_local_subprocess
    subprocess_task_handler.run_local_subprocess = run_step
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "You may be attemping to run", RuntimeWarning)
            kfp.local.init(kfp.local.SubprocessRunner(use_venv=False), pipeline_root=str(runs))
            yield printed
    finally:
        subprocess_task_handler.run_local_subprocess = original


def _identify(full_command: list[str]) -> StepRun:
    arguments = dict(itertools.pairwise(full_command))
    outputs = json.loads(arguments["--executor_input"])["outputs"]
    return StepRun(arguments["--function_to_execute"], Path(outputs["outputFile"]).parent)


def _point_latest(runs: Path, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    link = runs / "latest"
    link.unlink(missing_ok=True)
    link.symlink_to(directory.name, target_is_directory=True)


def _run_process(
    step: StepRun, command: list[str], variables: dict[str, str], display: Display
) -> None:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(paths)}
    step.directory.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with (
        step.log.open("w", encoding="utf-8") as log,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**environment, **variables},
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        for line in _own_lines(process.stdout, log):
            step.lines.append(line)
            display.line(line)
    step.exit_code = process.wait()
    step.seconds = time.perf_counter() - start


def _own_lines(output: IO[str], log: IO[str]) -> Iterator[str]:
    """Copies all output to the log and yields what the step printed, not KFP's executor."""
    of_executor = False
    for line in output:
        log.write(line)
        log.flush()
        if line.startswith("[KFP Executor "):
            of_executor = "Got executor_input" in line  # its JSON follows, to a line of its own
        elif of_executor:
            of_executor = line.rstrip() != "}"
        elif line.strip():
            yield line.rstrip()


def _show_outcome(
    display: Display, steps: list[StepRun], latest: Path, parameters: dict[str, Any]
) -> None:
    ran = {step.name: step for step in steps}
    failed = next((step for step in steps if step.exit_code), None)
    rows = []
    for name in [step.__name__.lower() for step in STEPS]:
        if name not in ran:
            rows.append((name, "", "not run" if failed else "skipped: the model is not blessed"))
        elif ran[name].exit_code:
            rows.append((name, f"{ran[name].seconds:.1f}", "failed"))
        else:
            rows.append((name, f"{ran[name].seconds:.1f}", ran[name].result))
    display.table(rows, sum(step.seconds for step in ran.values()))
    if failed:
        log = latest / failed.log.relative_to(failed.directory.parent)
        display.failure(failed.name, failed.result, log)
        return
    logs = parameters["checkpoints"] or latest / "train" / "logs"
    display.places(
        [
            ("Model", latest / "train" / "model", ""),
            (
                "Report",
                latest / "evaluate" / "evaluation" / "report.html",
                f"python3 -m webbrowser {latest / 'evaluate' / 'evaluation' / 'report.html'}",
            ),
            ("TensorBoard", logs, f"make tensorboard LOGS={logs}"),
        ]
    )
