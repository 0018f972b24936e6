"""The shell face of ingest."""

import click

from components.config import Ingest
from components.shared.command_line import step_command


@step_command(Ingest)
@click.option("--output", required=True, help="Examples directory to write, on disk or gs://.")
@click.argument("beam_arguments", nargs=-1)
def main(config: Ingest, output: str, beam_arguments: tuple[str, ...]) -> None:
    """Write the splits of a source as TFRecord shards.

    What follows -- goes to Beam's runner unchanged.
    """
    from components.ingest.ingest import ingest

    ingest(config, output, beam_arguments)


if __name__ == "__main__":
    main()
