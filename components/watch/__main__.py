"""The shell face of watch."""

from pathlib import Path

import click

from components.config import Watch
from components.shared.command_line import step_command


@step_command(Watch)
@click.option(
    "--predictions", type=click.Path(), required=True, help="Directory that predict wrote."
)
@click.option("--output", type=click.Path(), required=True, help="Directory to write.")
def main(config: Watch, predictions: str, output: str) -> None:
    """Compare what came in with what the model was trained on.

    The exit code is 0 whether all is quiet or not; drift.json says which.
    """
    from components.watch.watch import watch

    watch(config, Path(predictions), Path(output))


if __name__ == "__main__":
    main()
