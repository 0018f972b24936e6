"""The shell face of retrain."""

from pathlib import Path

import click

from components.config import Retrain
from components.shared.command_line import step_command


@step_command(Retrain)
@click.option(
    "--predictions", type=click.Path(), required=True, help="Directory that predict wrote."
)
@click.option("--drift", type=click.Path(), required=True, help="Directory that watch wrote.")
def main(config: Retrain, predictions: str, drift: str) -> None:
    """Start one training after an alarm that training can mend, within a run.

    The exit code is 0 whether one is started or not; the last line says which.
    """
    from components.retrain.start import start

    start(config, Path(predictions), Path(drift))


if __name__ == "__main__":
    main()
