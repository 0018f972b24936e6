"""The help of a command with many options: those used first, and then the rest, step by step."""

from collections.abc import Iterator
from typing import Any

import click

from pipeline.pipelines import Pipeline


class GroupedCommand(click.Command):
    """A command that runs a pipeline: its help has the options in groups."""

    def __init__(self, pipeline: Pipeline, **settings: Any) -> None:
        super().__init__(pipeline.command, **settings)
        self._pipeline = pipeline

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, each in one group."""
        parameters = {str(parameter.name): parameter for parameter in self.get_params(ctx)}
        for title, names in _groups(self._pipeline, list(parameters)):
            records = [record for n in names if (record := parameters[n].get_help_record(ctx))]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _groups(pipeline: Pipeline, names: list[str]) -> Iterator[tuple[str, list[str]]]:
    first = [name for name in pipeline.first if name in names]
    yield "Used first", first
    left = [name for name in names if name not in first]
    for step in pipeline.steps:
        of_step = step.names()
        yield step.__name__, [name for name in left if name in of_step]
        left = [name for name in left if name not in of_step]
    yield "The run itself", left
