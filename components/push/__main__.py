"""The shell face of push."""

from pathlib import Path

import click

from components.config import Push
from components.shared.command_line import step_command


@step_command(Push)
@click.option("--model", type=click.Path(), required=True, help="Directory that train wrote.")
@click.option(
    "--evaluation", type=click.Path(), required=True, help="Directory that evaluate wrote."
)
@click.option(
    "--run-id",
    default="",
    help="What identifies the run over its retries, so that it publishes once; by default the "
    "model's own sha256.",
)
def main(config: Push, model: str, evaluation: str, run_id: str) -> None:
    """Publish a blessed model as the next version in a registry.

    The registry itself is looked after by: python -m components.registry.
    """
    from components.push.push import push

    push(config, Path(model), Path(evaluation), run_id)


if __name__ == "__main__":
    main(prog_name="python -m components.push")
