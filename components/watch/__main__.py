"""The shell face of watch."""

from glob import glob
from pathlib import Path

import click

from components.config import Watch
from components.shared.command_line import step_command


@step_command(Watch)
@click.option(
    "--predictions",
    type=click.Path(),
    required=True,
    multiple=True,
    help="Directory that predict wrote; with --labels several, or a pattern such as "
    "'runs/predict-*/predict/predictions'.",
)
@click.option(
    "--labels",
    type=click.Path(),
    default="",
    help="Labels that came later: a source as ingest reads it, of images that came in.",
)
@click.option(
    "--window",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="Days up to the newest whose predictions count, with --labels.",
)
@click.option("--output", type=click.Path(), required=True, help="Directory to write.")
def main(
    config: Watch, predictions: tuple[str, ...], labels: str, window: int, output: str
) -> None:
    """Compare what came in with what the model was trained on.

    The exit code is 0 whether all is quiet or not; drift.json says which.
    """
    from components.watch.watch import watch, watch_labels

    # A pattern that names nothing stays, to be named in the error.
    found = [path for given in predictions for path in sorted(glob(given)) or [given]]  # noqa: PTH207
    if labels:
        watch_labels(config, [Path(path) for path in found], labels, window, Path(output))
    elif len(found) > 1:
        raise click.UsageError(f"{len(found)} directories of --predictions, expected --labels too.")
    else:
        watch(config, Path(found[0]), Path(output))


if __name__ == "__main__":
    main()
