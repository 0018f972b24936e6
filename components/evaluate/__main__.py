"""The shell face of evaluate."""

from pathlib import Path

import click

from components.config import Evaluate
from components.shared.command_line import step_command


@step_command(Evaluate)
@click.option("--examples", type=click.Path(), required=True, help="Directory that ingest wrote.")
@click.option("--model", type=click.Path(), required=True, help="Directory that train wrote.")
@click.option("--output", type=click.Path(), required=True, help="Evaluation directory to write.")
@click.option(
    "--champion",
    type=click.Path(),
    help="SavedModel to compare with, such as registry/digits/1; without it there is no champion.",
)
def main(config: Evaluate, examples: str, model: str, output: str, champion: str | None) -> None:
    """Score a model on all splits and decide whether it may go out.

    The exit code is 0 whether the model is blessed or not; evaluation.json and push tell.
    """
    from components.evaluate.evaluate import evaluate

    theirs = Path(champion) if champion else None
    evaluate(config, Path(examples), Path(model), Path(output), theirs)


if __name__ == "__main__":
    main()
