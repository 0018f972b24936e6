"""Recurring runs on a cluster.

A schedule owns the workflows of its runs: on a backend that knows no better, removing it kills the
one that is running, without a summary, and leaves it RUNNING for ever.
"""

import json
import time
from dataclasses import replace
from typing import Any, NamedTuple

import kfp_server_api
from kfp.client import Client

from components.shared.errors import StepError
from pipeline.compile import UNTIL
from pipeline.remote.client import (
    FINISHED,
    Connection,
    Request,
    api_errors_as_step_error,
    find_or_create_experiment,
    pages,
)
from pipeline.remote.waiting import patiently


class Created(NamedTuple):
    """A new schedule."""

    id: str
    messages: list[str]  # what became of those of the same name, a line each


def create(connection: Connection, request: Request, cron: str) -> Created:
    """Creates a schedule, in place of those of the same name.

    Runs start one at a time; those missed while the server was down or the schedule paused are not
    made up for. Each reads data up to its own schedule time. One of the same name with a run that
    is not over is paused instead of removed.

    Raises:
        StepError: The server cannot be reached or refuses.
    """
    client = connection.open()
    before = named(connection, request.name)
    if UNTIL not in request.parameters and not request.uploaded:
        request = replace(request, package=request.package.reading_to_schedule_time())
    with api_errors_as_step_error(connection.host), request.source() as source:
        experiment = find_or_create_experiment(client, request.experiment, connection.namespace)
        created = client.create_recurring_run(
            experiment.experiment_id,
            request.name,
            cron_expression=cron,
            max_concurrency=1,
            no_catchup=True,
            enabled=True,
            params=request.parameters,
            service_account=request.service_account or None,
            **source,
        )
    # Only now: were the new one refused, the old one would still be there.
    messages = [_retire(connection, client, old) for old in before]
    return Created(str(created.recurring_run_id), messages)


def _retire(connection: Connection, client: Client, old: Any) -> str:
    with api_errors_as_step_error(connection.host):
        client.disable_recurring_run(old.recurring_run_id)
    if running := unfinished(connection, client, old):
        return (
            f"The one before of this name is paused, and stays until its run is over "
            f"({_list(running)}); another replacement or 'schedule delete' removes it then"
        )
    _remove(connection, old)
    return "It replaces the one before of this name"


def every(connection: Connection) -> list[Any]:
    """Returns all schedules on the server.

    Raises:
        StepError: The server cannot be reached or refuses.
    """
    client = connection.open()
    namespace = connection.namespace or None
    return pages(connection, client.list_recurring_runs, "recurring_runs", namespace=namespace)


def named(connection: Connection, name: str) -> list[Any]:
    """Returns the schedules of a name, the newest last."""
    found = [schedule for schedule in every(connection) if schedule.display_name == name]
    return sorted(found, key=lambda schedule: str(schedule.created_at))


def unfinished(connection: Connection, client: Client, schedule: Any) -> list[Any]:
    """Returns the runs of a schedule that are not over."""
    return [run for run in runs_of(connection, client, schedule) if run.state not in FINISHED]


def runs_of(connection: Connection, client: Client, schedule: Any) -> list[Any]:
    """Returns all runs of a schedule that the server has."""
    predicate = {
        "operation": "EQUALS",
        "key": "recurring_run_id",
        "stringValue": schedule.recurring_run_id,
    }
    return pages(
        connection,
        client.list_runs,
        "runs",
        namespace=connection.namespace or None,
        filter=json.dumps({"predicates": [predicate]}),
    )


def switch(connection: Connection, name: str, action: str) -> None:
    """Pauses or resumes a schedule.

    Args:
        connection: The server.
        name: The schedule's name. Of several, all are paused, and only the newest is resumed: the
            others were replaced by it.
        action: ``pause`` or ``resume``.

    Raises:
        StepError: There is none, or the server cannot be reached or refuses.
    """
    found = _found(connection, name)
    client = connection.open()
    with api_errors_as_step_error(connection.host):
        if action == "resume":
            client.enable_recurring_run(found[-1].recurring_run_id)
            return
        for schedule in found:
            client.disable_recurring_run(schedule.recurring_run_id)


def delete(connection: Connection, name: str, wait: bool, force: bool, seconds: float) -> int:
    """Removes the schedules of a name; they start no run from the first look on.

    Args:
        connection: The server.
        name: Their name.
        wait: Waits until none of their runs is left.
        force: Removes them though there are runs that are not over.
        seconds: Time between two looks while waiting.

    Returns:
        How many there were.

    Raises:
        StepError: There is none, or a run of it is not over, or the server refuses.
    """
    found = _found(connection, name)
    client = connection.open()
    enabled = [schedule for schedule in found if schedule.status == "ENABLED"]
    with api_errors_as_step_error(connection.host):
        for schedule in enabled:
            client.disable_recurring_run(schedule.recurring_run_id)

    def running() -> list[Any]:
        return [run for schedule in found for run in unfinished(connection, client, schedule)]

    if wait:
        while patiently(running, seconds):
            time.sleep(seconds)
    elif not force and (left := running()):
        with api_errors_as_step_error(connection.host):
            for schedule in enabled:
                client.enable_recurring_run(schedule.recurring_run_id)
        raise StepError(
            f"{connection.address}: schedule {name!r} has a run that is not over "
            f"({_list(left)}) and may be killed with it; let it end with --wait, or give --force"
        )
    for schedule in found:
        _remove(connection, schedule)
    return len(found)


def _found(connection: Connection, name: str) -> list[Any]:
    if found := named(connection, name):
        return found
    raise StepError(f"{connection.address}: no schedule {name!r}; see 'schedule list'")


def _list(runs: list[Any]) -> str:
    return ", ".join(f"{run.display_name}, run {run.run_id}" for run in runs)


def _remove(connection: Connection, schedule: Any) -> None:
    # kfp.Client cannot say that the runs are to stay; KFP before 2.16 does not listen either.
    with connection.api() as api, api_errors_as_step_error(connection.host):
        kfp_server_api.RecurringRunServiceApi(api).recurring_run_service_delete_recurring_run(
            schedule.recurring_run_id, propagation_policy="ORPHAN"
        )
