"""The shell face of tune."""

from pathlib import Path

import click

from components.config import Tune
from components.shared.command_line import step_command


@step_command(Tune)
@click.option("--examples", type=click.Path(), required=True, help="Directory that ingest wrote.")
@click.option("--model", type=click.Path(), required=True, help="Model directory to write.")
@click.option(
    "--study",
    type=click.Path(),
    required=True,
    help="Directory of the search and its trials; a search goes on from what is there.",
)
def main(config: Tune, examples: str, model: str, study: str) -> None:
    """Search for the settings of train that do best on the validation split."""
    from components.tune.tune import tune

    tune(config, Path(examples), Path(model), Path(study))


if __name__ == "__main__":
    main()
