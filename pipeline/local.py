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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import kfp.local
from kfp.local import subprocess_task_handler

from components.config import SECRET, STEPS
from components.shared.addresses import shown_in
from components.summary.outcome import Step
from components.summary.summary import write_steps
from pipeline.display import Display
from pipeline.pipeline import mnist

ROOT = Path(__file__).resolve().parent.parent

Show = Callable[[Iterable[str]], None]  # takes what a step prints, line by line
Execute = Callable[[Show], int]  # runs a step and returns its exit code
RunStep = Callable[[list[str], Execute], int]


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

    @property
    def told(self) -> Step:
        """What the summary of the run is told of the step."""
        return Step(self.name, "Failed" if self.exit_code else "Succeeded", self.result, self.lines)


def run(parameters: dict[str, Any], runs: Path, debug: bool, runner: str, images: str) -> int:
    """Runs the pipeline on this machine.

    Args:
        parameters: The pipeline's parameters by name.
        runs: Directory under which the run gets its own, ``latest`` pointing to it.
        debug: Shows a failed step's traceback.
        runner: What a step runs in: ``subprocess``, or ``docker`` for its image.
        images: JSON file of step and image, for ``docker``; empty: those built here.

    Returns:
        The exit code: 0 where all steps that were to run succeeded, 1 where one failed.

    Raises:
        StepError: Images are asked for, and there is no container engine or an image is missing.
    """
    display = Display(sys.stdout, parameters["max_steps"], debug)
    steps: list[StepRun] = []
    secrets = [parameters[name] for name in SECRET if parameters[name]]

    def run_step(command: list[str], execute: Execute) -> int:
        step = _identify(command)
        if not steps:
            _point_latest(runs, step.directory.parent)
        if step.name == "summary":
            step.directory.mkdir(parents=True, exist_ok=True)
            write_steps(step.directory, [before.told for before in steps])
        steps.append(step)
        with display.step(step.name):
            _run_step(step, execute, display, secrets)
        return step.exit_code

    in_images = runner == "docker"
    configured = (
        _in_containers(run_step, parameters, images) if in_images else _as_processes(run_step)
    )
    with configured as kfp_runner, _kfp_local(runs, kfp_runner) as kfp_log:
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
def _kfp_local(runs: Path, runner: Any) -> Iterator[io.StringIO]:
    """Sets kfp.local up and catches what kfp itself prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You may be attemping to run", RuntimeWarning)
        kfp.local.init(runner, pipeline_root=str(runs))
        yield printed


@contextlib.contextmanager
def _as_processes(run_step: RunStep) -> Iterator[Any]:
    """Has kfp.local run its subprocesses through ``run_step``; yields the runner for them."""

    def run_process(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        return run_step(full_command, partial(_run_process, full_command, env_vars or {}))

    with _replaced(subprocess_task_handler, "run_local_subprocess", run_process):
        yield kfp.local.SubprocessRunner(use_venv=False)


@contextlib.contextmanager
def _in_containers(run_step: RunStep, parameters: dict[str, Any], images: str) -> Iterator[Any]:
    """Has kfp.local run its containers through ``run_step``; yields the runner for them."""
    from kfp.local import docker_task_handler

    from pipeline import containers

    found = containers.names(images)

    def run_container(client: Any, image: str, command: list[str], **settings: Any) -> int:
        containers.share(_identify(command).directory)
        execute = partial(containers.run_container, client, found[image], command, **settings)
        return run_step(command, execute)

    with _replaced(docker_task_handler, "run_docker_container", run_container):
        yield containers.runner(parameters)


@contextlib.contextmanager
def _replaced(module: ModuleType, name: str, function: Callable) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, original)


def _identify(full_command: list[str]) -> StepRun:
    arguments = dict(itertools.pairwise(full_command))
    outputs = json.loads(arguments["--executor_input"])["outputs"]
    return StepRun(arguments["--function_to_execute"], Path(outputs["outputFile"]).parent)


def _point_latest(runs: Path, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    link = runs / "latest"
    link.unlink(missing_ok=True)
    link.symlink_to(directory.name, target_is_directory=True)


def _run_step(step: StepRun, execute: Execute, display: Display, secrets: list[str]) -> None:
    step.directory.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with step.log.open("w", encoding="utf-8") as log:

        def show(output: Iterable[str]) -> None:
            for line in _own_lines(_without(secrets, output), log):
                step.lines.append(line)
                display.line(line)

        step.exit_code = execute(show)
    step.seconds = time.perf_counter() - start


def _run_process(command: list[str], variables: dict[str, str], show: Show) -> int:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(paths)}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**environment, **variables},
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        show(process.stdout)
    return process.wait()


def _without(secrets: list[str], output: Iterable[str]) -> Iterator[str]:
    """Takes out of a step's output what nobody may read there: KFP's executor prints parameters."""
    for line in output:
        for secret in secrets:
            line = line.replace(secret, "…")
        yield shown_in(line)


def _own_lines(output: Iterable[str], log: IO[str]) -> Iterator[str]:
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
