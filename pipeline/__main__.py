"""The command line: run a pipeline here, compile it, submit it, schedule it."""

from typing import Any

import click

from components.shared.command_line import Place, build, exit_on_error, options
from pipeline.cluster import ClusterSettings
from pipeline.local.command_line import FRESH_OPTION, RunCommand
from pipeline.local.history import runs
from pipeline.pipelines import MNIST, PIPELINES, PREDICT, TUNE
from pipeline.remote.command_line import schedule, submit, upload
from pipeline.remote.options import pipeline_option


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run a pipeline here, compile it, submit it, schedule it."""


@main.command("compile")
@pipeline_option
@click.option(
    "--output",
    type=Place(),
    default="",
    show_default=" or ".join(pipeline.file for pipeline in PIPELINES.values()),
    help="File to write.",
)
def compile_pipeline(pipeline: str, output: str, **values: Any) -> None:
    """Compile a pipeline for a cluster."""
    settings = build(ClusterSettings, values)
    output = output or PIPELINES[pipeline].file
    with exit_on_error():
        from pipeline.compile import compile_to

        compile_to(output, settings, PIPELINES[pipeline])
    click.echo(f"Wrote {output}")


compile_pipeline.params += options(ClusterSettings)
main.add_command(RunCommand(MNIST, "Run the pipeline on this machine.", FRESH_OPTION))
main.add_command(
    RunCommand(
        PREDICT, "Have the champion say what new images show, and watch them, on this machine."
    )
)
main.add_command(RunCommand(TUNE, "Search for the best settings, on this machine.", FRESH_OPTION))
main.add_command(upload)
main.add_command(submit)
main.add_command(schedule)
main.add_command(runs)


if __name__ == "__main__":
    main(prog_name="python -m pipeline")
