"""The shell face of push: the step itself, and behind its name the commands for people."""

import sys
from pathlib import Path

import click

from components.push.commands import registry_commands
from components.shared.command_line import step_command
from pipeline.config import Push


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

    The registry itself is looked after by: python -m components.push COMMAND, where COMMAND is
    list, show, verify, promote, rollback, prune or serving-config.
    """
    from components.push.push import push

    push(config, Path(model), Path(evaluation), run_id)


if __name__ == "__main__":
    named = registry_commands.commands.get(sys.argv[1]) if len(sys.argv) > 1 else None
    (registry_commands if named else main)(prog_name="python -m components.push")
