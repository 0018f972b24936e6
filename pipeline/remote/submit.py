"""The command line of one run on a cluster."""

import sys
from datetime import datetime
from typing import Any

import click

from components.shared.command_line import exit_on_error
from components.shared.errors import log_line
from pipeline.pipelines import PIPELINES, Pipeline
from pipeline.remote.options import connecting, connection, lost, request, requesting, show

# Where a first try publishes to that names no registry: a pod can write there, and nowhere else.
SCRATCH = "/tmp/registry"


def _destination(pipeline: Pipeline, asked: Any) -> None:
    """Sees that a registry that is named outlives the run.

    Raises:
        click.BadParameter: It would not.
    """
    if problem := lost(pipeline, asked):
        if asked.parameters.get("destination") or not pipeline.fills_registry:
            raise click.BadParameter(problem, param_hint="-p")
        asked.parameters["destination"] = SCRATCH
        click.echo(
            "warning: no destination is given: the model is published within a pod and gone with "
            "it; to keep it, give -p destination=gs://bucket/registry",
            err=True,
        )


@click.command()
@connecting
@requesting(
    "run",
    lambda pipeline: f"{pipeline.name} {datetime.now():%Y-%m-%d %H:%M:%S}",
    "the pipeline's name and the time",
)
@click.option("--wait", is_flag=True, help="Wait for the end; exit code 1 where the run failed.")
@click.option(
    "--poll", default=5.0, show_default=True, help="Seconds between two looks while waiting."
)
def submit(pipeline: str, wait: bool, poll: float, dry_run: bool, **values: Any) -> None:
    """Run a pipeline on a cluster."""
    with exit_on_error():
        server, asked = connection(values), request(values)
        _destination(PIPELINES[pipeline], asked)
        if dry_run:
            show(values["package"], asked)
            return
        from pipeline.remote import client, waiting

        run_id, link = client.submit(server, asked)
        click.echo(f"Run: {link}")
        if not wait:
            return
        ended = waiting.wait(server, run_id, log_line, poll)
    log_line(ended.sentence)
    sys.exit(not ended.succeeded)
