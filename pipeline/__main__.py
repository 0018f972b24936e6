"""The command line: run a pipeline here, compile it, submit it, schedule it."""

import sys
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import click

from components.config import TUTORIAL
from components.shared.command_line import Place, build, build_all, exit_on_error, flag, options
from pipeline.cluster import Cluster
from pipeline.local.engine import podman
from pipeline.local.help import GroupedCommand
from pipeline.local.history import runs
from pipeline.local.processes import Processes
from pipeline.pipelines import MNIST, PIPELINES, PREDICT, Pipeline
from pipeline.remote.options import choosing
from pipeline.remote.schedule import schedule
from pipeline.remote.submit import submit


def _use_tutorial(context: click.Context, _: click.Parameter, chosen: bool) -> None:
    if chosen:
        context.default_map = {**(context.default_map or {}), **TUTORIAL}


TUTORIAL_OPTION = click.Option(
    ["--tutorial"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_use_tutorial,
    help="Train as TensorFlow Mechanics 101 does: "
    + ", ".join(f"{flag(name)} {value}" for name, value in TUTORIAL.items())
    + ".",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run a pipeline here, compile it, submit it, schedule it."""


def run_here(
    pipeline: Pipeline, runs: str, debug: bool, runner: str, images: str, **values: Any
) -> None:
    """Runs a pipeline on this machine, and exits."""
    parameters = build_all(pipeline.parameters, values)
    with exit_on_error(debug):
        if not Path(parameters["source"]).exists():  # else this import need not be waited for
            from components.sources.files import check_exists

            check_exists(parameters["source"])
        with _processes(pipeline, runner) as processes:
            from pipeline.local.run import (
                run,  # imports kfp, while the processes import for the steps
            )

            sys.exit(run(pipeline, parameters, Path(runs), debug, images, processes))


def _processes(pipeline: Pipeline, runner: str) -> AbstractContextManager[Processes | None]:
    """Returns what the steps run in; None: containers, on the engine that docker's client finds."""
    if runner == "podman":
        return podman()
    if runner == "subprocess":
        return Processes(pipeline.ahead, pipeline.forked)
    return nullcontext()


def _running(pipeline: Pipeline, help_text: str, *more: click.Option) -> click.Command:
    """Returns the command that runs a pipeline on this machine."""
    return GroupedCommand(
        pipeline,
        callback=partial(run_here, pipeline),
        help=help_text,
        params=[
            *more,
            *(option for config in pipeline.parameters for option in options(config)),
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
                help="What a step runs in: a process of this environment, or a container of its "
                "image, on docker or podman (DOCKER_HOST: where neither has its socket). A "
                "container sees the run's directory and the directories that parameters name, and "
                "can only read of those that it does not fill.",
            ),
            click.Option(
                ["--images"],
                type=Place(),
                default="",
                help="JSON file of step and image by digest, for --runner docker or podman; empty: "
                "what 'make images' built here.",
            ),
            click.Option(["--debug"], is_flag=True, help="Show a failed step's traceback."),
        ],
    )


main.add_command(_running(MNIST, "Run the pipeline on this machine.", TUTORIAL_OPTION))
main.add_command(
    _running(
        PREDICT, "Have the champion say what new images show, and watch them, on this machine."
    )
)


@main.command("compile")
@choosing
@click.option(
    "--output",
    type=Place(),
    default="",
    show_default=" or ".join(pipeline.file for pipeline in PIPELINES.values()),
    help="File to write.",
)
def compile_pipeline(pipeline: str, output: str, **values: Any) -> None:
    """Compile a pipeline for a cluster."""
    cluster, which = build(Cluster, values), PIPELINES[pipeline]
    output = output or which.file
    with exit_on_error():
        from pipeline.compile import compile_to

        compile_to(output, cluster, which)
    click.echo(f"Wrote {output}")


compile_pipeline.params += options(Cluster)
main.add_command(submit)
main.add_command(schedule)
main.add_command(runs)


if __name__ == "__main__":
    main(prog_name="python -m pipeline")
