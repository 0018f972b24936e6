"""The shell face of train."""

from pathlib import Path

import click

from components.config import Train
from components.shared.command_line import step_command


@step_command(Train)
@click.option("--examples", type=click.Path(), required=True, help="Directory that ingest wrote.")
@click.option("--model", type=click.Path(), required=True, help="Model directory to write.")
@click.option(
    "--logs",
    type=click.Path(),
    required=True,
    help="Directory of checkpoints and TensorBoard events; a run goes on from what is there.",
)
def main(config: Train, examples: str, model: str, logs: str) -> None:
    """Train the network on a dataset and write a SavedModel."""
    from components.train.train import train_and_evaluate

    train_and_evaluate(config, Path(examples), Path(model), Path(logs))


if __name__ == "__main__":
    main()
