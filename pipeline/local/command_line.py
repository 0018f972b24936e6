"""The command lines that run a pipeline on this machine: ``local`` and ``predict``."""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import click

from components.config import Ingest, Train
from components.shared.command_line import Place, build_all, exit_on_error, options
from components.shared.environment import trains_with_onednn
from pipeline.local.processes import Processes
from pipeline.local.record import earlier_dataset
from pipeline.pipelines import Pipeline

FRESH_OPTION = click.Option(
    ["--fresh"],
    is_flag=True,
    help="Ingest also where an earlier run has made a dataset of the same source with the same "
    "options, which is taken otherwise.",
)

RUN_OPTIONS = [
    click.Option(
        ["--runs"],
        type=Place(),
        default="runs",
        show_default=True,
        help="Directory under which every run gets its own.",
    ),
    click.Option(
        ["--runner"],
        type=click.Choice(["subprocess", "docker", "podman"]),
        default="subprocess",
        show_default=True,
        help="What a step runs in: a process of this environment, or a container of its image, on "
        "docker or podman (DOCKER_HOST: where neither has its socket). A container sees the run's "
        "directory and the files and directories that parameters name, and can only read of those "
        "that it does not fill.",
    ),
    click.Option(
        ["--images"],
        type=Place(),
        default="",
        help="JSON file of step and image by digest, for --runner docker or podman; empty: what "
        "'make images' built here.",
    ),
    click.Option(["--debug"], is_flag=True, help="Show a failed step's traceback."),
    click.Option(["--run-name"], type=Place(), default="", help="The run's name; empty: the time."),
]


class RunCommand(click.Command):
    """Runs a pipeline on this machine; its help groups the options, those used first and by step.

    Args:
        pipeline: Which one.
        help_text: Says what it does.
        more: Options besides those of its parameters and of any run.
    """

    def __init__(self, pipeline: Pipeline, help_text: str, *more: click.Option) -> None:
        configured = (option for config in pipeline.parameters for option in options(config))
        super().__init__(
            pipeline.command,
            callback=partial(run_here, pipeline),
            help=help_text,
            params=[*more, *configured, *RUN_OPTIONS],
        )
        self._pipeline = pipeline

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, each in one group."""
        parameters = {str(parameter.name): parameter for parameter in self.get_params(ctx)}
        for title, names in _groups(self._pipeline, list(parameters)):
            records = [record for n in names if (record := parameters[n].get_help_record(ctx))]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _groups(pipeline: Pipeline, names: list[str]) -> Iterator[tuple[str, list[str]]]:
    first = [name for name in pipeline.first_options if name in names]
    yield "Used first", first
    left = [name for name in names if name not in first]
    for step in pipeline.steps:
        of_step = step.names()
        yield step.__name__, [name for name in left if name in of_step]
        left = [name for name in left if name not in of_step]
    yield "The run itself", left


def run_here(
    pipeline: Pipeline,
    runs: str,
    debug: bool,
    runner: str,
    images: str,
    run_name: str = "",
    fresh: bool = False,
    **values: Any,
) -> None:
    """Runs a pipeline on this machine, and exits; or becomes the training that its alarm starts."""
    parameters = build_all(pipeline.parameters, values)
    with exit_on_error(debug):
        for source in filter(None, (parameters["source"], parameters.get("retrain"))):
            if not Path(source).exists():  # else this import need not be waited for
                from components.sources.files import check_exists

                check_exists(source)
        takes = (
            Ingest in pipeline.steps
            and runner == "subprocess"  # containers do not see other runs
            and not fresh
            and not parameters["previous"]
        )
        earlier = earlier_dataset(Path(runs), parameters) if takes else ""
        with processes_for(pipeline, runner, parameters, earlier) as processes:
            from pipeline.local.run import run  # imports kfp, while processes import for the steps

            code, directory = run(
                pipeline, parameters, Path(runs), debug, images, processes, earlier, run_name
            )
        if parameters.get("retrain"):
            from pipeline.local.retraining import training_command

            same = ["--runs", runs, "--runner", runner, *(["--images", images] if images else [])]
            if command := training_command(directory, parameters, same):
                print(f"Training:    {shlex.join(['python', *command[1:]])}", flush=True)
                os.execv(command[0], command)  # so that a signal reaches the training
        sys.exit(code)


def processes_for(
    pipeline: Pipeline, runner: str, parameters: Mapping[str, Any], earlier: str
) -> AbstractContextManager[Processes | None]:
    """Returns what the steps run in; None: containers, on the engine that docker's client finds."""
    if runner == "podman":
        from pipeline.local.containers import podman

        return podman()
    if runner == "subprocess":
        # Training switches oneDNN on before it imports TensorFlow, so for itself alone.
        own = trains_with_onednn(parameters.get("network", Train.network))
        later = pipeline.forked if own else ()
        imports = {name: its for name, its in pipeline.preimports.items() if name not in later}
        if "ingest" in imports and not earlier:  # else it is likely to need no Beam
            imports["ingest"] = (*imports["ingest"], "components.jobs.run")
        return Processes(imports, () if own else pipeline.forked)
    return nullcontext()
