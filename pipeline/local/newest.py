"""Whether a pipeline ran of late: ``python -m pipeline runs --newest-within 26h``.

A run that never began says nothing and sends nothing, so somebody has to look: cron, or a monitor.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import click

from components.shared.errors import StepError, printable
from pipeline.local.record import read_runs
from pipeline.pipelines import Pipeline
from pipeline.remote.options import read_connection

UNITS = {"m": "minutes", "h": "hours", "d": "days"}
# What came of a run that did its work, also where that was to say no.
DONE = ("published", "blessed", "not blessed", "predicted", "nothing new", "quiet", "alarm", "done")
PAGE = 100  # runs of a server that are looked through, the newest first


class Ran(NamedTuple):
    """A run, here or on a cluster."""

    name: str
    began: datetime
    outcome: str
    done: bool  # whether it did its work

    def __str__(self) -> str:
        return f"{printable(self.name)}, began {self.began:%Y-%m-%d %H:%M} UTC: {self.outcome}"


class Within(click.ParamType):
    """A time, as 90m, 26h or 2d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns it as a timedelta."""
        if isinstance(value, timedelta):
            return value
        if not (found := re.fullmatch(r"([1-9]\d{0,4})([mhd])", value)):
            self.fail(f"{value!r}, expected a time, as 90m, 26h or 2d.", param, ctx)
        return timedelta(**{UNITS[found[2]]: int(found[1])})


def newest(pipeline: Pipeline, within: timedelta, runs: Path, values: dict[str, Any]) -> str:
    """Returns a line on the newest run that did its work and began within a time before now.

    Args:
        pipeline: Whose.
        within: The time.
        runs: The directory that holds the runs on this machine.
        values: The options of a connection; where they name a server, its runs are looked at
            instead, those of the experiment that is named like the pipeline.

    Raises:
        StepError: There is none; says which run was the last.
    """
    where = values["host"] or str(runs)
    found = list(_on_cluster(pipeline, values) if values["host"] else _here(pipeline, runs))
    for ran in sorted(found, key=lambda ran: ran.began, reverse=True):
        if ran.done and ran.began >= datetime.now(UTC) - within:
            return str(ran)
    last = max(found, key=lambda ran: ran.began, default=None)
    raise StepError(
        f"{where}: no run of {pipeline.name} that did its work began within {_text(within)}; "
        f"the last: {last or 'none'}"
    )


def _text(within: timedelta) -> str:
    hours = within / timedelta(hours=1)
    return f"{hours:g} h"


def _here(pipeline: Pipeline, runs: Path) -> Iterator[Ran]:
    for _, record in read_runs(runs, warn=True):
        if record.pipeline == pipeline.name:
            began = record.started.astimezone(UTC)
            yield Ran(record.name, began, record.outcome, record.outcome in DONE)


def _on_cluster(pipeline: Pipeline, values: dict[str, Any]) -> Iterator[Ran]:
    connection = read_connection(values)
    from pipeline.remote.client import api_errors_as_step_error

    client = connection.open()
    with api_errors_as_step_error(connection.host):
        experiment = client.get_experiment(
            experiment_name=pipeline.name, namespace=connection.namespace or None
        )
        page = client.list_runs(
            page_size=PAGE,
            sort_by="created_at desc",
            experiment_id=experiment.experiment_id,
            namespace=connection.namespace or None,
        )
    for run in page.runs or []:
        done = run.state == "SUCCEEDED"
        yield Ran(run.display_name, run.created_at.astimezone(UTC), str(run.state).lower(), done)
