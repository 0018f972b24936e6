"""The command line of one run on a cluster."""

import sys
from datetime import datetime
from typing import Any

import click

from components.config import PIPELINE_NAME
from components.shared.command_line import reported
from components.shared.errors import tell
from pipeline.options import connecting, connection, lost, request, requesting, show

# Where a first try publishes to that names no registry: a pod can write there, and nowhere else.
SCRATCH = "/tmp/registry"


def _destination(asked: Any) -> None:
    """Sees that a registry that is named outlives the run.

    Raises:
        click.BadParameter: It would not.
    """
    named = asked.parameters.get("destination")
    if problem := lost(asked.package, named or str(asked.package.default("destination"))):
        if named:
            raise click.BadParameter(problem, param_hint="-p")
        asked.parameters["destination"] = SCRATCH
        click.echo(
            "warning: no destination is given: the model is published within a pod and gone with "
            "it; to keep it, give -p destination=gs://bucket/registry",
            err=True,
        )


@click.command()
@connecting
@requesting("", "run; empty: the pipeline's with the time")
@click.option("--wait", is_flag=True, help="Wait for the end; exit code 1 where the run failed.")
@click.option(
    "--poll", default=5.0, show_default=True, help="Seconds between two looks while waiting."
)
def submit(wait: bool, poll: float, dry_run: bool, **values: Any) -> None:
    """Run the pipeline on a cluster."""
    values["name"] = values["name"] or f"{PIPELINE_NAME} {datetime.now():%Y-%m-%d %H:%M:%S}"
    with reported():
        server, asked = connection(values), request(values)
        _destination(asked)
        if dry_run:
            show(values["package"], asked)
            return
        from pipeline import client, waiting

        run_id, link = client.submit(server, asked)
        click.echo(f"Run: {link}")
        if not wait:
            return
        ended = waiting.wait(server, run_id, tell, poll)
    tell(ended.sentence)
    sys.exit(not ended.succeeded)
