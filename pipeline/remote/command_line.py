"""The command lines of runs on a cluster: ``submit`` for one, ``schedule`` for recurring ones."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import click

from components.config import SECRET
from components.shared.command_line import exit_on_error
from components.shared.errors import log_line
from pipeline.pipelines import PIPELINES, Pipeline
from pipeline.remote.options import (
    NEWEST,
    connection_options,
    destination_problem,
    file_option,
    pipeline_option,
    print_request,
    read_connection,
    read_package,
    read_request,
    request_options,
)

# Where a first try publishes to that names no registry: a pod can write there, and nowhere else.
SCRATCH = "/tmp/registry"

ZONE_REASON = (
    "a schedule has no time zone of its own: the installation reads all of them in one, UTC unless "
    "its operator has set CRON_SCHEDULE_TIMEZONE; write the time of day in that one"
)


def _destination(pipeline: Pipeline, request: Any) -> None:
    """Sees that a registry that is named outlives the run.

    Raises:
        click.BadParameter: It would not.
    """
    if problem := destination_problem(pipeline, request):
        if request.parameters.get("destination") or not pipeline.fills_registry:
            raise click.BadParameter(problem, param_hint="-p")
        request.parameters["destination"] = SCRATCH
        click.echo(
            "warning: no destination is given: the model is published within a pod and gone with "
            "it; to keep it, give -p destination=gs://bucket/registry",
            err=True,
        )


def _warn_of_secrets(request: Any) -> None:
    for name in sorted(SECRET):
        if request.parameters.get(name):
            click.echo(
                f"warning: whoever may see the run may see its parameter {name}; to keep it from "
                "them, compile with --webhook-secret NAME",
                err=True,
            )


@click.command()
@connection_options
@request_options(
    "run",
    lambda pipeline, parameters: (
        f"{pipeline.run_prefix(parameters)} {datetime.now():%Y-%m-%d %H:%M:%S}"
    ),
    "the model's name, or else the pipeline's, and the time",
    "the newest",
)
@click.option("--wait", is_flag=True, help="Wait for the end; exit code 1 where the run failed.")
@click.option(
    "--poll", default=5.0, show_default=True, help="Seconds between two looks while waiting."
)
@click.option(
    "--pending-timeout",
    type=click.FloatRange(min=0),
    default=1_800.0,
    show_default=True,
    help="Seconds after which waiting ends, and the run goes on, where a pod does not start: its "
    "image cannot be pulled, no node has room for it, its volume is missing. 0 waits for any time.",
)
def submit(
    pipeline: str,
    wait: bool,
    poll: float,
    pending_timeout: float,
    dry_run: bool,
    **values: Any,
) -> None:
    """Run a pipeline on a cluster."""
    with exit_on_error():
        server = read_connection(values)
        request = read_request(values, server)
        _destination(PIPELINES[pipeline], request)
        _warn_of_secrets(request)
        if dry_run:
            print_request(values, request, pods=request.package.requests)
            return
        from pipeline.remote import client, waiting

        run_id, link = client.submit(server, request)
        click.echo(f"Run: {link}")
        if not wait:
            return
        ended = waiting.wait(
            server, run_id, log_line, poll, pending_timeout, request.package.requests
        )
    log_line(ended.sentence)
    sys.exit(not ended.succeeded)


def _cron(_: click.Context, __: click.Parameter, cron: str) -> str:
    if cron:
        from pipeline.remote.cron import next_times

        try:
            next_times(cron)
        except ValueError as error:
            raise click.BadParameter(f"{error}.") from None
    return cron


def _time_zone(_: click.Context, __: click.Parameter, zone: str) -> str:
    if zone not in ("", "UTC"):
        raise click.BadParameter(f"{zone}: {ZONE_REASON}.")
    return zone


@click.command()
@connection_options
@pipeline_option
@file_option
def upload(pipeline: str, **values: Any) -> None:
    """Keep a compiled pipeline on a cluster, as a version; its name is printed.

    The same content is one version. Its runs read data up to their own time, those of a schedule
    up to when they are due.
    """
    with exit_on_error():
        server, package = read_connection(values), read_package(values)
        from pipeline.remote import uploads

        version, new = uploads.upload(server, package)
    click.echo(f"{'Uploaded' if new else 'There already'}: {version.link}", err=True)
    click.echo(version.name)


@click.group(invoke_without_command=True)
@connection_options
@request_options(
    "schedule; one of the same name is replaced",
    lambda pipeline, _: f"{pipeline.name}-schedule",
    "the pipeline's name, -schedule",
    "whichever is the newest when a run is due",
)
@click.option(
    "--cron",
    default="",
    callback=_cron,
    help="When: six fields, seconds first, as '0 0 3 * * *' for every day at 03:00 UTC.",
)
@click.option(
    "--time-zone", default="", callback=_time_zone, help=f"UTC only: {ZONE_REASON}.", hidden=True
)
@click.pass_context
def schedule(
    context: click.Context,
    /,
    pipeline: str,
    cron: str,
    time_zone: str,
    dry_run: bool,
    **values: Any,
) -> None:
    """Run a pipeline on a cluster, again and again."""
    if context.invoked_subcommand:
        return
    if not cron:
        raise click.UsageError("Missing option '--cron'.")
    with exit_on_error():
        server = read_connection(values)
        request = read_request(values, server)
        if problem := destination_problem(PIPELINES[pipeline], request):
            raise click.BadParameter(problem, param_hint="-p")
        _warn_of_secrets(request)
        if values["uploaded"] == NEWEST:
            request = replace(request, uploaded={**(request.uploaded or {}), "version_id": ""})
        from pipeline.remote.cron import next_times

        times = next_times(cron)
        if dry_run:
            _print_schedule(values, request, cron, times)
            return
        from pipeline.remote import schedules

        created = schedules.create(server, request, cron)
    click.echo(f"Schedule {request.name}: {server.address}/#/recurringrun/details/{created.id}")
    for line in created.messages:
        log_line(line)
    for time in times:
        click.echo(f"  {time:%a %Y-%m-%d %H:%M:%S} UTC")


def _print_schedule(values: dict[str, Any], request: Any, cron: str, times: list[datetime]) -> None:
    from pipeline.compile import UNTIL

    until = {}
    if UNTIL in request.package.inputs and UNTIL not in request.parameters:
        until = {UNTIL: f"the time a run is due, first {times[0]:%Y-%m-%dT%H:%M:%SZ}"}
    print_request(values, request, **until, cron=cron, next=[time.isoformat() for time in times])


@schedule.command("list")
@connection_options
def list_schedules(**values: Any) -> None:
    """Show the schedules."""
    with exit_on_error():
        from pipeline.remote import schedules

        for found in schedules.every(read_connection(values)):
            cron = found.trigger.cron_schedule.cron if found.trigger.cron_schedule else "-"
            log_line(f"{found.display_name}  {(found.status or '').lower()}  {cron}")


def _switching(action: str, done: str, help_text: str) -> Callable:
    @schedule.command(action, help=help_text)
    @click.argument("name")
    @connection_options
    def command(name: str, **values: Any) -> None:
        with exit_on_error():
            from pipeline.remote import schedules

            schedules.switch(read_connection(values), name, action)
        click.echo(f"{done} {name}")

    return command


_switching("pause", "Paused", "Start no more runs, until it is resumed.")
_switching("resume", "Resumed", "Start runs again.")


@schedule.command("delete")
@click.argument("name")
@connection_options
@click.option("--wait", is_flag=True, help="Start no more runs, and wait until none is running.")
@click.option(
    "--force",
    is_flag=True,
    help="Delete it though a run of it is running, which may be killed by that.",
)
@click.option(
    "--poll", default=5.0, show_default=True, help="Seconds between two looks while waiting."
)
def delete(name: str, wait: bool, force: bool, poll: float, **values: Any) -> None:
    """Remove a schedule; its runs stay."""
    with exit_on_error():
        from pipeline.remote import schedules

        count = schedules.delete(read_connection(values), name, wait, force, poll)
    click.echo(f"Deleted {name}" + (f" ({count} of them)" if count > 1 else ""))
