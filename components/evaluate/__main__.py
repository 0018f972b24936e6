"""The shell face of evaluate."""

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from components.config import Evaluate, Push
from components.shared.command_line import step_command


@step_command(Evaluate)
@click.option("--examples", type=click.Path(), required=True, help="Directory that ingest wrote.")
@click.option("--model", type=click.Path(), required=True, help="Directory that train wrote.")
@click.option("--output", type=click.Path(), required=True, help="Evaluation directory to write.")
@click.option(
    "--champion",
    type=click.Path(),
    help="SavedModel to compare with, such as registry/digits/1, instead of a registry's champion.",
)
@click.option("--destination", help="Registry whose champion to compare with, as push's option.")
@click.option("--model-name", default=Push.model_name, show_default=True, help="Its name there.")
def main(
    config: Evaluate,
    examples: str,
    model: str,
    output: str,
    champion: str | None,
    destination: str | None,
    model_name: str,
) -> None:
    """Score a model on all splits and decide whether it may go out.

    The exit code is 0 whether the model is blessed or not; evaluation.json and push tell.
    """
    from components.evaluate.evaluate import evaluate
    from components.registry.registry import champion_saved_model

    if champion and destination:
        raise click.UsageError("--champion and --destination both name a champion; give one")
    paths = Path(examples), Path(model), Path(output)
    with TemporaryDirectory() as cache:
        compared = Path(champion) if champion else None
        if destination and not config.no_champion:
            compared = champion_saved_model(destination, model_name, Path(cache))
        evaluate(config, *paths, compared, model_name if destination else "", destination or "")


if __name__ == "__main__":
    main()
