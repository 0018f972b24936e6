"""The shell face of push."""

from pathlib import Path

import click

from components.shared.command_line import step_command
from pipeline.config import Push


@step_command(Push)
@click.option("--model", type=click.Path(), required=True, help="Directory that train wrote.")
@click.option(
    "--evaluation", type=click.Path(), required=True, help="Directory that evaluate wrote."
)
def main(config: Push, model: str, evaluation: str) -> None:
    """Publish a blessed model as the next version in a registry."""
    from components.push.push import push

    push(config, Path(model), Path(evaluation))


if __name__ == "__main__":
    main()
