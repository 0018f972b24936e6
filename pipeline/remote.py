"""The command line of what runs on a cluster: submit and schedule."""

import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from components.config import PARAMETERS, PIPELINE_NAME, SECRET
from components.shared.addresses import shown_in
from components.shared.command_line import build_all, reported

PIPELINE_YAML = "pipeline.yaml"
CONNECTION = ("host", "token", "cookies", "namespace")
REQUEST = ("package", "parameters", "experiment", "name", "service_account")

host = click.option(
    "--host",
    required=True,
    envvar="KF_PIPELINES_ENDPOINT",
    show_envvar=True,
    help="Address of the Kubeflow Pipelines API, as http://localhost:8080.",
)
token = click.option(
    "--token", default="", envvar="KFP_TOKEN", show_envvar=True, help="Bearer token to sign in."
)
cookies = click.option(
    "--cookies", default="", envvar="KFP_COOKIES", show_envvar=True, help="Cookies to sign in."
)
namespace = click.option(
    "--namespace", default="", help="Your namespace, in an installation for several users."
)


def _typed(context: click.Context, _: click.Parameter, pairs: tuple[str, ...]) -> dict[str, Any]:
    """Returns the parameters by name, in their types; they are checked before anything is sent."""
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r}, expected name=value, as max_steps=2000.")
        values[name.replace("-", "_")] = value
    typed = build_all(PARAMETERS, values)
    if unknown := sorted(values.keys() - typed):
        raise click.BadParameter(
            f"no parameter {', '.join(unknown)}; 'python -m pipeline local --help' lists them all."
        )
    return typed


def connecting(command: Callable) -> Callable:
    """Adds the options that say how to reach the server."""
    return host(token(cookies(namespace(command))))


def requesting(name: str, what: str) -> Callable[[Callable], Callable]:
    """Adds the options that say what to run."""
    added = [
        click.option(
            "--file",
            "package",
            default=PIPELINE_YAML,
            show_default=True,
            type=click.Path(path_type=Path),
            help="The compiled pipeline.",
        ),
        click.option(
            "-p",
            "--parameter",
            "parameters",
            metavar="NAME=VALUE",
            multiple=True,
            callback=_typed,
            help="A parameter of the pipeline, as max_steps=2000; give it again for more.",
        ),
        click.option(
            "--experiment", "-e", default=PIPELINE_NAME, show_default=True, help="Experiment."
        ),
        click.option("--name", default=name, show_default=bool(name), help=f"Name of the {what}."),
        click.option(
            "--service-account",
            default="",
            help="Kubernetes service account of the pods; empty: the installation's.",
        ),
    ]

    def decorate(command: Callable) -> Callable:
        for option in reversed(added):
            command = option(command)
        return command

    return decorate


def _split(values: dict[str, Any]) -> tuple[Any, Any]:
    from pipeline.client import Connection, Request, inputs

    request = Request(**{name: values[name] for name in REQUEST})
    missing = sorted(request.parameters.keys() - inputs(request.package))
    if missing:
        raise click.BadParameter(
            f"{request.package} has no parameter {', '.join(missing)}; run 'make compile'.",
            param_hint="-p",
        )
    return Connection(**{name: values[name] for name in CONNECTION}), request


def _dry(request: Any, **more: Any) -> None:
    told = {
        "file": str(request.package),
        "experiment": request.experiment,
        "name": request.name,
        "parameters": {
            name: "…" if name in SECRET else shown_in(value) if isinstance(value, str) else value
            for name, value in request.parameters.items()
        },
    }
    click.echo(json.dumps(told | more, indent=2))


@click.command()
@connecting
@requesting("", "run; empty: the pipeline's with the time")
@click.option("--wait", is_flag=True, help="Wait for the end; exit code 1 where the run failed.")
@click.option(
    "--poll", default=5.0, show_default=True, help="Seconds between two looks while waiting."
)
@click.option("--dry-run", is_flag=True, help="Check all and show it, but send nothing.")
def submit(wait: bool, poll: float, dry_run: bool, **values: Any) -> None:
    """Run the pipeline on a cluster."""
    values["name"] = values["name"] or f"{PIPELINE_NAME} {datetime.now():%Y-%m-%d %H:%M:%S}"
    with reported():
        connection, request = _split(values)
        if dry_run:
            _dry(request)
            return
        from pipeline import client

        run_id, link = client.submit(connection, request)
        click.echo(f"Run: {link}")
        if not wait:
            return
        state, why = client.wait(connection, run_id, click.echo, poll)
    click.echo(f"Run {state.lower()}" + (f": {why}" if why else ""))
    sys.exit(state != "SUCCEEDED")


@click.group(invoke_without_command=True)
@connecting
@requesting(f"{PIPELINE_NAME}-schedule", "schedule; one of the same name is replaced")
@click.option(
    "--cron",
    default="",
    help="When: six fields, seconds first, as '0 0 3 * * *' for every day at 03:00 UTC.",
)
@click.option("--dry-run", is_flag=True, help="Check all and show it, but send nothing.")
@click.pass_context
def schedule(context: click.Context, /, cron: str, dry_run: bool, **values: Any) -> None:
    """Run the pipeline on a cluster, again and again."""
    if context.invoked_subcommand:
        from pipeline.client import Connection

        context.obj = Connection(**{name: values[name] for name in CONNECTION})
        return
    if not cron:
        raise click.UsageError("Missing option '--cron'.")
    with reported():
        from pipeline import schedules

        times = schedules.next_times(cron)
        connection, request = _split(values)
        if dry_run:
            _dry(request, cron=cron, next=[time.isoformat() for time in times])
            return
        schedule_id, replaced = schedules.create(connection, request, cron)
    link = f"{connection.address}/#/recurringrun/details/{schedule_id}"
    click.echo(f"Schedule {request.name}: {link}")
    if replaced:
        click.echo(f"It replaces {replaced} of the same name")
    for time in times:
        click.echo(f"  {time:%a %Y-%m-%d %H:%M:%S} UTC")


@schedule.command("list")
@click.pass_obj
def list_schedules(connection: Any) -> None:
    """Show the schedules."""
    with reported():
        from pipeline import schedules

        for found in schedules.every(connection):
            cron = found.trigger.cron_schedule.cron if found.trigger.cron_schedule else "-"
            click.echo(f"{found.display_name}  {(found.status or '').lower()}  {cron}")


def _changing(action: str, done: str, help_text: str) -> None:
    @schedule.command(action, help=help_text)
    @click.argument("name")
    @click.pass_obj
    def command(connection: Any, name: str) -> None:
        with reported():
            from pipeline import schedules

            count = schedules.change(connection, name, action)
        click.echo(f"{done} {name}" + (f" ({count} of them)" if count > 1 else ""))


_changing("pause", "Paused", "Start no more runs, until it is resumed.")
_changing("resume", "Resumed", "Start runs again.")
_changing("delete", "Deleted", "Remove a schedule; its runs stay.")
