"""Runs a pipeline on this machine with ``kfp.local``, and shows a person what happens."""

import contextlib
import itertools
import json
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import kfp.local
from kfp.local import (
    docker_task_handler,
    executor_input_utils,
    placeholder_utils,
    subprocess_task_handler,
)

from components.config import SECRET
from components.shared.addresses import redacted_text
from components.shared.environment import RUN_ID, RUN_INDEX, RUN_PAGE
from components.shared.process import sigterm_exits
from components.summary.outcome import Step as Told
from components.summary.summary import write_steps
from pipeline.local import containers, page
from pipeline.local.display import Display
from pipeline.local.outcome import outcome_of, show_interrupted, show_outcome
from pipeline.local.processes import Command, Processes, Show
from pipeline.local.runs import Outcome, Run, Step, point_latest
from pipeline.pipelines import Pipeline

Execute = Callable[[Show], int]  # runs a step and returns its exit code
RunStep = Callable[[list[str], Execute], int]


@dataclass
class LocalRun:
    """A run as it goes: its directory, its steps so far, and who watches."""

    pipeline: Pipeline
    directory: Path
    display: Display
    secrets: list[str]
    steps: dict[str, Step] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)  # what the summary of the run is told of them
    running: str = ""  # the step

    def step(self, command: list[str], execute: Execute) -> int:
        """Runs a step, showing and logging what it prints, and returns its exit code."""
        self.running, directory = _identify(command)
        # A source that cannot be read makes no run worth looking at, if there is one already.
        through = any(not step.exit_code for step in self.steps.values())
        point_latest(self.directory, self.pipeline.latest, anyhow=through)
        directory.mkdir(parents=True, exist_ok=True)
        if self.running == "summary":
            write_steps(directory, self.told)
        lines: list[str] = []
        start = time.perf_counter()
        with (
            self.display.step(self.running),
            (directory / "log.txt").open("w", encoding="utf-8") as log,
        ):

            def show(output: Iterable[str]) -> None:
                for line in _own_lines(_without(self.secrets, output), log):
                    lines.append(line)
                    self.display.line(line)

            code = execute(show)
        seconds = time.perf_counter() - start
        result = lines[-1].strip() if lines else f"exit code {code}"
        self.steps[self.running] = Step(seconds=seconds, exit_code=code, result=result)
        state = "Failed" if code else "Succeeded"
        self.told.append(Told(self.running, state, result, lines))
        return code


def run(
    pipeline: Pipeline,
    parameters: dict[str, Any],
    runs: Path,
    debug: bool,
    images: str,
    processes: Processes | None,
) -> int:
    """Runs a pipeline on this machine.

    Args:
        pipeline: Which one.
        parameters: Its parameters by name.
        runs: Directory under which the run gets its own, and a link to the newest.
        debug: Shows a failed step's traceback.
        images: JSON file of step and image, where there are no processes; empty: those built here.
        processes: What the steps run in; None: their images.

    Returns:
        The exit code: 0 where all steps that were to run succeeded, 1 where one failed, 128 and the
        signal's number where one ended the run.

    Raises:
        StepError: There cannot be a run here; or images are asked for, and there is no container
            engine or an image is missing.
    """
    found = {} if processes else containers.names(pipeline, images)
    record = Run.begin(runs, pipeline, parameters)
    display = Display(sys.stdout, parameters.get("max_steps", 0), debug)
    secrets = [parameters[name] for name in SECRET if parameters[name]]
    local = LocalRun(pipeline, runs / record.name, display, secrets)
    configured = (
        _as_processes(record.name, local.step, processes)
        if processes
        else _in_containers(local, parameters, found)
    )
    outcome: Outcome = "failed"
    try:
        with sigterm_exits(), configured as runner, _kfp_local(local.directory, runner):
            _run_pipeline(local, parameters)
        outcome = outcome_of(local.steps, local.directory)
    except (KeyboardInterrupt, SystemExit) as stop:
        outcome = "interrupted"
        show_interrupted(local.display, local.running, local.directory, parameters)
        return 128 + (signal.SIGTERM if isinstance(stop, SystemExit) else signal.SIGINT)
    finally:
        page.write(local.directory, record.end(local.directory, outcome, local.steps))
    show_outcome(pipeline, local.display, local.steps, local.directory, parameters)
    return int(outcome == "failed")


def _run_pipeline(local: LocalRun, parameters: dict[str, Any]) -> None:
    try:
        local.pipeline.function()(**parameters)
    except RuntimeError:
        if not any(step.exit_code for step in local.steps.values()):
            raise  # not a step: kfp itself, or the pipeline


@contextlib.contextmanager
def _kfp_local(directory: Path, runner: Any) -> Iterator[None]:
    """Sets kfp.local up for a run of this name, and logs what kfp itself prints."""
    with (
        (directory / "kfp.log").open("w", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        warnings.catch_warnings(),
        _replaced(
            executor_input_utils, "get_local_pipeline_resource_name", lambda _: directory.name
        ),
        # The id that a version in the registry is known by: that of the run's directory.
        _replaced(placeholder_utils, "make_random_id", lambda: directory.name),
    ):
        warnings.filterwarnings("ignore", "You may be attemping to run", RuntimeWarning)
        kfp.local.init(runner, pipeline_root=str(directory.parent))
        yield


@contextlib.contextmanager
def _as_processes(name: str, run_step: RunStep, processes: Processes) -> Iterator[Any]:
    """Has kfp.local run its subprocesses through ``run_step``; yields the runner for them."""

    def run_process(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        source, *options = full_command[full_command.index("-ec") + 2 :]
        arguments = dict(zip(options[::2], options[1::2], strict=True))
        command = Command(
            arguments["--function_to_execute"],
            source,
            json.loads(arguments["--executor_input"]),
            {**(env_vars or {}), RUN_ID: name, RUN_PAGE: f"../../{RUN_INDEX}"},
        )
        return run_step(full_command, lambda show: processes.run(command, show))

    with (
        # KFP's own writes the interpreter's path over every "python3", in parameters too, and
        # has a shell take it apart: https://github.com/kubeflow/pipelines/issues/14459
        _replaced(subprocess_task_handler, "replace_python_executable", lambda command, _: command),
        _replaced(subprocess_task_handler, "run_local_subprocess", run_process),
    ):
        yield kfp.local.SubprocessRunner(use_venv=False)


@contextlib.contextmanager
def _in_containers(
    local: LocalRun, parameters: dict[str, Any], found: dict[str, str]
) -> Iterator[Any]:
    """Has kfp.local run its containers as steps of a run; yields the runner for them."""

    def run_container(client: Any, image: str, command: list[str], **settings: Any) -> int:
        containers.share(_identify(command)[1])

        def execute(show: Show) -> int:
            return containers.run_container(client, found[image], command, show, **settings)

        return local.step(command, execute)

    with _replaced(docker_task_handler, "run_docker_container", run_container):
        yield containers.runner(local.pipeline, parameters)


@contextlib.contextmanager
def _replaced(module: ModuleType, name: str, function: Callable) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, original)


def _identify(full_command: list[str]) -> tuple[str, Path]:
    """Returns a step's name and its directory, which holds one for each output, and the log."""
    arguments = dict(itertools.pairwise(full_command))
    outputs = json.loads(arguments["--executor_input"])["outputs"]
    return arguments["--function_to_execute"], Path(outputs["outputFile"]).parent


def _without(secrets: list[str], output: Iterable[str]) -> Iterator[str]:
    """Takes out of a step's output what nobody may read there: KFP's executor prints parameters."""
    for line in output:
        for secret in secrets:
            line = line.replace(secret, "…")
        yield redacted_text(line)


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
