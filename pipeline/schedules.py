"""Recurring runs on a cluster: when, and which there are."""

import re
from datetime import UTC, datetime
from typing import Any

from croniter import croniter

from components.shared.errors import StepError
from pipeline.client import Connection, Request, explained, inputs

# The parameter that says up to when data is read, and what the backend (KFP 2.16 and later) puts
# in its place in each run of a schedule, as a layout of Go's time package.
UNTIL, SCHEDULE_TIME = "until", "[[ScheduledTime.2006-01-02T15:04:05Z]]"
FIELDS = "second minute hour day month weekday"
# What robfig/cron, the backend's parser, takes in a field; croniter would take more.
FIELD = re.compile(
    r"(\?|[\d*/,-]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
    r"|sun|mon|tue|wed|thu|fri|sat)+",
    re.IGNORECASE,
)


def next_times(cron: str, count: int = 5, after: datetime | None = None) -> list[datetime]:
    """Returns when a cron expression fires next.

    Args:
        cron: Six fields, seconds first, as Kubeflow Pipelines reads them.
        count: How many times to return.
        after: The time to start from, now if None.

    Raises:
        StepError: It is no such expression; says what it would have to be.
    """
    parts = cron.split()
    if len(parts) == 5:
        raise StepError(
            f"--cron {cron!r}: five fields, but Kubeflow Pipelines reads six, seconds first; "
            f"write '0 {' '.join(parts)}'"
        )
    example = f"expected '{FIELDS}', as '0 0 3 * * *' for every day at 03:00"
    odd = next((part for part in parts if not FIELD.fullmatch(part)), "")
    if len(parts) != 6 or odd:
        raise StepError(f"--cron {cron!r}: {repr(odd) if odd else len(parts)} is wrong; {example}")
    if "7" in re.split(r"[,-]", parts[5].split("/")[0]):
        raise StepError(f"--cron {cron!r}: weekdays are 0 (Sunday) to 6 (Saturday); {example}")
    try:
        times = croniter(cron, after or datetime.now(UTC), second_at_beginning=True)
        return [times.get_next(datetime) for _ in range(count)]
    except (ValueError, KeyError) as error:
        raise StepError(f"--cron {cron!r}: {error}; {example}") from None


def create(connection: Connection, request: Request, cron: str) -> tuple[str, int]:
    """Creates a schedule, in place of those of the same name.

    Runs start one at a time; those missed while the server was down or the schedule paused are not
    made up for. Each reads data up to its own schedule time.

    Returns:
        Its id, and the number of schedules it replaced.

    Raises:
        StepError: The cron expression is wrong, or the server cannot be reached or refuses.
    """
    next_times(cron)
    parameters = dict(request.parameters)
    if UNTIL in inputs(request.package):
        parameters.setdefault(UNTIL, SCHEDULE_TIME)
    client = connection.open()
    before = [found.recurring_run_id for found in named(connection, request.name)]
    with explained(connection.host):
        experiment = client.create_experiment(
            request.experiment, namespace=connection.namespace or None
        )
        created = client.create_recurring_run(
            experiment.experiment_id,
            request.name,
            cron_expression=cron,
            max_concurrency=1,
            no_catchup=True,
            enabled=True,
            params=parameters,
            pipeline_package_path=str(request.package),
            service_account=request.service_account or None,
        )
        for old in before:  # only now: were the new one refused, the old one would still be there
            client.delete_recurring_run(old)
    return str(created.recurring_run_id), len(before)


def every(connection: Connection) -> list[Any]:
    """Returns all schedules on the server.

    Raises:
        StepError: The server cannot be reached or refuses.
    """
    client = connection.open()
    found: list[Any] = []
    token = ""
    while True:
        with explained(connection.host):
            page = client.list_recurring_runs(
                page_token=token, page_size=100, namespace=connection.namespace or None
            )
        found += page.recurring_runs or []
        token = page.next_page_token or ""
        if not token:
            return found


def named(connection: Connection, name: str) -> list[Any]:
    """Returns the schedules of a name."""
    return [schedule for schedule in every(connection) if schedule.display_name == name]


def change(connection: Connection, name: str, action: str) -> int:
    """Pauses, resumes or deletes the schedules of a name.

    Args:
        connection: The server.
        name: The schedule's name.
        action: ``pause``, ``resume`` or ``delete``.

    Returns:
        How many there were.

    Raises:
        StepError: There is none, or the server cannot be reached or refuses.
    """
    schedules = named(connection, name)
    if not schedules:
        raise StepError(f"{connection.address}: no schedule {name!r}; see 'schedule list'")
    client = connection.open()
    act = {
        "pause": client.disable_recurring_run,
        "resume": client.enable_recurring_run,
        "delete": client.delete_recurring_run,
    }[action]
    with explained(connection.host):
        for schedule in schedules:
            act(schedule.recurring_run_id)
    return len(schedules)
