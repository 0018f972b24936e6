"""The help of a command with many options: those used first, and then the rest, step by step."""

from collections.abc import Iterator
from dataclasses import fields

import click

from components.config import STEPS

FIRST = (
    "source",
    "tutorial",
    "max_steps",
    "hidden",
    "learning_rate",
    "batch_size",
    "min_precision",
    "destination",
    "checkpoints",
    "runner",
)


class GroupedCommand(click.Command):
    """A command whose help has its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, each in one group."""
        parameters = {str(parameter.name): parameter for parameter in self.get_params(ctx)}
        for title, names in _groups(list(parameters)):
            records = [record for n in names if (record := parameters[n].get_help_record(ctx))]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _groups(names: list[str]) -> Iterator[tuple[str, list[str]]]:
    first = [name for name in FIRST if name in names]
    yield "Used first", first
    left = [name for name in names if name not in first]
    for step in STEPS:
        of_step = {field.name for field in fields(step)}
        yield step.__name__, [name for name in left if name in of_step]
        left = [name for name in left if name not in of_step]
    yield "The run itself", left
