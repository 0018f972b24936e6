"""The shell face of ingest."""

from pathlib import Path

import click

from components.shared.command_line import step_command
from pipeline.config import Ingest


@step_command(Ingest)
@click.option("--output", type=click.Path(), required=True, help="Examples directory to write.")
@click.argument("beam_arguments", nargs=-1)
def main(config: Ingest, output: str, beam_arguments: tuple[str, ...]) -> None:
    """Write the splits of a source as TFRecord shards.

    What follows -- goes to Beam's runner unchanged.
    """
    from components.ingest.ingest import ingest

    ingest(config, Path(output), beam_arguments)


if __name__ == "__main__":
    main()
