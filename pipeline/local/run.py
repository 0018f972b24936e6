"""Runs a pipeline on this machine with ``kfp.local``, and shows a person what happens."""

import contextlib
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from components.config import SECRET
from components.shared.addresses import redacted_text
from components.shared.environment import (
    COMPILED_LOOPS,
    EARLIER,
    OUTCOMES,
    RETRAINED,
    RUN_ID,
    RUN_INDEX,
    RUN_PAGE,
)
from components.shared.outcome import Outcome
from components.shared.process import sigterm_exits
from pipeline.local import containers, kfp_patches
from pipeline.local.display import Display, show_interrupted, show_outcome
from pipeline.local.processes import Command, Processes, Show
from pipeline.local.record import (
    OUTCOMES_DIRECTORY,
    RunRecord,
    RunResult,
    StepRecord,
    point_latest,
    write_page,
)
from pipeline.local.retraining import earlier_training
from pipeline.pipelines import Pipeline

COMPILED = ".compiled"  # beside the runs
# What TensorFlow logs where it takes a compiled loop, which it tries to read as text first.
NOISE = (
    "Error parsing text-format tensorflow.XlaSerializedCacheEntry",
    "All log messages before absl::InitializeLog() is called",
)


@dataclass
class LocalRun:
    """A run as it goes: its directory, its steps so far, and who watches."""

    pipeline: Pipeline
    directory: Path
    display: Display
    secrets: list[str]
    earlier: str = ""  # a dataset that ingest may take
    compiled: str = ""  # where training keeps compiled loops
    retrained: str = ""  # which training an alarm started within the pause
    steps: dict[str, StepRecord] = field(default_factory=dict)
    running: str = ""  # the step

    @property
    def outcomes(self) -> Path:
        """The directory where each step leaves what came of it."""
        return self.directory.absolute() / OUTCOMES_DIRECTORY

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that a step gets besides its parameters."""
        return {
            RUN_ID: self.directory.name,
            RUN_PAGE: f"../../{RUN_INDEX}",
            OUTCOMES: str(self.outcomes),
            EARLIER: self.earlier,
            COMPILED_LOOPS: self.compiled,
            RETRAINED: self.retrained,
        }

    def step(self, command: list[str], execute: Callable[[Show], int]) -> int:
        """Runs a step, showing and logging what it prints, and returns its exit code.

        Args:
            command: KFP's command line for it.
            execute: Runs it, handing on what it prints, and returns its exit code.
        """
        self.running, directory = step_of(command)
        # A source that cannot be read makes no run worth looking at, if there is one already.
        succeeded = any(not step.exit_code for step in self.steps.values())
        point_latest(self.directory, self.pipeline.latest, replace=succeeded)
        directory.mkdir(parents=True, exist_ok=True)
        self.outcomes.mkdir(exist_ok=True)
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
        result = self._result(code, lines[-1].strip() if lines else "")
        self.steps[self.running] = StepRecord(seconds=seconds, exit_code=code, result=result)
        return code

    def _result(self, code: int, last_line: str) -> str:
        """Returns what came of the step in a line.

        A step that is killed, for want of memory as it may be, leaves no outcome: then that is it.
        """
        outcome = Outcome.read(self.outcomes, self.running)
        if code and not (outcome and outcome.result == "failed"):
            message = last_line.removeprefix("error: ") or f"exit code {code}"
            outcome = Outcome(step=self.running, result="failed", message=message)
            outcome.write(self.outcomes)
        return outcome.message if outcome else last_line

    @property
    def result(self) -> RunResult:
        """What came of a run that is through: that of its last step, or of the one that failed."""
        if any(step.exit_code for step in self.steps.values()):
            return "failed"
        ran = [name for name in self.pipeline.step_names if name in self.steps]
        outcome = Outcome.read(self.outcomes, ran[-1])
        return outcome.result if outcome else "unfinished"


def run(
    pipeline: Pipeline,
    parameters: dict[str, Any],
    runs: Path,
    debug: bool,
    images: str,
    processes: Processes | None,
    earlier: str,
    name: str,
) -> tuple[int, Path]:
    """Runs a pipeline on this machine.

    Args:
        pipeline: Which one.
        parameters: Its parameters by name.
        runs: Directory under which the run gets its own, and a link to the newest.
        debug: Shows a failed step's traceback.
        images: JSON file of step and image, where there are no processes; empty: those built here.
        processes: What the steps run in; None: their images.
        earlier: A dataset of an earlier run that ingest may take; empty: none.
        name: The run's; empty: it gets one.

    Returns:
        The exit code: 0 where all steps that were to run succeeded, 1 where one failed, 128 and the
        signal's number where one ended the run; and the run's directory.

    Raises:
        StepError: There cannot be a run here; or images are asked for, and there is no container
            engine or an image is missing.
    """
    found = {} if processes else containers.find_images(pipeline, images)
    record = RunRecord.begin(runs, pipeline, parameters, name)
    display = Display(sys.stdout, parameters.get("max_steps", 0), debug)
    secrets = [parameters[name] for name in SECRET if parameters[name]]
    local = LocalRun(pipeline, runs / record.name, display, secrets, earlier)
    if processes:
        local.compiled = os.environ.get(COMPILED_LOOPS, str(runs.absolute() / COMPILED))
    if parameters.get("retrain"):
        local.retrained = earlier_training(runs, parameters)
    configured = (
        _in_processes(local, processes) if processes else _in_containers(local, parameters, found)
    )
    result: RunResult = "failed"
    try:
        with sigterm_exits(), configured as runner, kfp_patches.set_up(local.directory, runner):
            _run_pipeline(local, parameters)
        result = local.result
    except (KeyboardInterrupt, SystemExit) as stop:
        result = "interrupted"
        show_interrupted(display, local.running, local.directory, parameters)
        ended_by = signal.SIGTERM if isinstance(stop, SystemExit) else signal.SIGINT
        return 128 + ended_by, local.directory
    finally:
        write_page(local.directory, record.end(local.directory, result, local.steps))
    show_outcome(pipeline, display, local.steps, local.directory, parameters)
    return int(result == "failed"), local.directory


def _run_pipeline(local: LocalRun, parameters: dict[str, Any]) -> None:
    try:
        local.pipeline.function()(**parameters)
    except RuntimeError:
        if not any(step.exit_code for step in local.steps.values()):
            raise  # not a step: kfp itself, or the pipeline


def _in_processes(local: LocalRun, processes: Processes) -> contextlib.AbstractContextManager[Any]:
    """Has kfp.local run its processes as steps of a run; yields the runner for them."""

    def run_process(full_command: list[str], command: Command) -> int:
        return local.step(full_command, lambda show: processes.run(command, show))

    return kfp_patches.process_runner(run_process, local.variables)


@contextlib.contextmanager
def _in_containers(
    local: LocalRun, parameters: dict[str, Any], found: dict[str, str]
) -> Iterator[Any]:
    """Has kfp.local run its containers as steps of a run; yields the runner for them."""

    def run_container(client: Any, image: str, command: list[str], **settings: Any) -> int:
        for directory in (local.outcomes, step_of(command)[1]):
            containers.share(directory)

        def execute(show: Show) -> int:
            return containers.run_container(client, found[image], command, show, **settings)

        return local.step(command, execute)

    with kfp_patches.container_runner(run_container):
        yield containers.runner(local.pipeline, parameters, local.variables)


def step_of(full_command: list[str]) -> tuple[str, Path]:
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
        elif line.strip() and not any(noise in line for noise in NOISE):
            yield line.rstrip()
