"""The command line: run the pipeline here, compile it, submit it, schedule it."""

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from components.config import PARAMETERS, TUTORIAL
from components.shared.command_line import Place, build, build_all, flag, options, reported
from components.sources.presence import check_there
from pipeline.cluster import Cluster
from pipeline.engine import podman
from pipeline.help import GroupedCommand
from pipeline.history import runs
from pipeline.options import PIPELINE_YAML
from pipeline.processes import Processes
from pipeline.schedule import schedule
from pipeline.submit import submit


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
    """Run the pipeline here, compile it, submit it, schedule it."""


def local(runs: str, debug: bool, runner: str, images: str, **values: Any) -> None:
    """Run the pipeline on this machine."""
    parameters = build_all(PARAMETERS, values)
    with reported(debug):
        check_there(parameters["source"])
        with _processes(runner) as processes:
            from pipeline.local import run  # imports kfp, while the processes import for the steps

            sys.exit(run(parameters, Path(runs), debug, images, processes))


def _processes(runner: str) -> AbstractContextManager[Processes | None]:
    """Returns what the steps run in; None: containers, on the engine that docker's client finds."""
    if runner == "podman":
        return podman()
    return Processes() if runner == "subprocess" else nullcontext()


main.add_command(
    GroupedCommand(
        "local",
        callback=local,
        help=local.__doc__,
        params=[
            TUTORIAL_OPTION,
            *(option for config in PARAMETERS for option in options(config)),
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
                "container sees the run's directory and the directories that parameters name: of "
                "--source and --previous it can only read.",
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
)


def compile_pipeline(output: str, **values: Any) -> None:
    """Compile the pipeline for a cluster."""
    cluster = build(Cluster, values)
    with reported():
        from pipeline.compile import compile_to

        compile_to(output, cluster)
    click.echo(f"Wrote {output}")


main.add_command(
    click.Command(
        "compile",
        callback=compile_pipeline,
        help=compile_pipeline.__doc__,
        params=[
            click.Option(
                ["--output"],
                type=Place(),
                default=PIPELINE_YAML,
                show_default=True,
                help="File to write.",
            ),
            *options(Cluster),
        ],
    )
)


main.add_command(submit)
main.add_command(schedule)
main.add_command(runs)


if __name__ == "__main__":
    main(prog_name="python -m pipeline")
