"""The shell face of the registry: the commands by which people look after it."""

import json
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.config import Push
from components.registry.registry import ForeignVersionError, Registry
from components.registry.storage import MAX_VERSION
from components.shared.command_line import build, exit_on_error, options
from components.shared.environment import RUN_INDEX
from components.shared.errors import StepError, printable
from components.shared.storage import write_text


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def registry_commands() -> None:
    """Look after a registry of models."""


def _command(name: str, *parameters: click.Parameter) -> Callable[[Callable], Callable]:
    """Makes a function a command that gets the registry its options name."""

    def decorate(function: Callable) -> Callable:
        def callback(debug: bool, destination: str, model_name: str, **values: Any) -> None:
            config = build(Push, {"destination": destination, "model_name": model_name})
            with exit_on_error(debug):
                function(Registry.open(config.destination, config.model_name), **values)

        location = [each for each in options(Push) if each.name in ("destination", "model_name")]
        debug = click.Option(["--debug"], is_flag=True, help="Show a traceback with an error.")
        registry_commands.add_command(
            click.Command(
                name,
                callback=callback,
                params=[*parameters, *location, debug],
                help=function.__doc__,
            )
        )
        return function

    return decorate


NUMBER = click.IntRange(min=1, max=MAX_VERSION)
VERSION = click.Argument(["version"], type=NUMBER)
JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON, for scripts.")
FOREIGN = "not of this registry"
DRY_RUN = click.Option(["--dry-run"], is_flag=True, help="Say what would change, change nothing.")


def _text(foreign: str) -> str:
    """Returns what others wrote so that it steers neither rich nor the terminal."""
    return escape(printable(foreign))


def _print(table: Table, rows: Any, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 160  # a file or a pipe has none of its own
        console.print(table)


@_command("list", JSON)
def list_versions(registry: Registry, as_json: bool) -> None:
    """List the versions, which of them is the champion, and what they are worth."""
    champion = registry.champion()
    in_use = champion.version if champion else None
    rows = []
    table = Table("Version", "Champion", "Created (UTC)", "Precision@1", "MiB", "Run")
    for version, manifest in registry.manifests().items():
        if isinstance(manifest, ForeignVersionError):
            problem = str(manifest)
            rows.append({"version": version, "champion": version == in_use, "problem": problem})
            table.add_row(str(version), "champion" if version == in_use else "", FOREIGN)
            continue
        size = sum(digest.size for digest in manifest.files.values())
        row = {
            "version": version,
            "champion": version == in_use,
            "created": manifest.created,
            "precision_at_1": manifest.precision_at_1,
            "size_bytes": size,
            "run_id": manifest.run_id,
        }
        rows.append(row)
        table.add_row(
            str(version),
            "champion" if row["champion"] else "",
            _text(manifest.created.partition("+")[0].replace("T", " ")),
            f"{manifest.precision_at_1:.4f}",
            f"{size / 2**20:.2f}",
            _text(manifest.run_id[:36]),
        )
    _print(table, rows, as_json)
    registry.in_use()  # says so where the champion is not there


@_command("show", VERSION, JSON)
def show(registry: Registry, version: int, as_json: bool) -> None:
    """Show what a version is made of and how it came to be."""
    manifest = registry.manifest(version)
    table = Table("", f"Version {version}")
    latency = ", ".join(f"{ms:.2f} ms for {n}" for n, ms in manifest.validation.latency_ms.items())
    table.add_row("address", f"{registry.location}/{version}")
    table.add_row("created", _text(manifest.created))
    if manifest.copied_from:
        table.add_row("copied from", _text(manifest.copied_from))
    table.add_row("run", _text(manifest.run_id))
    table.add_row("model sha256", _text(manifest.model_sha256))
    table.add_row("test precision@1", f"{manifest.precision_at_1:.4f}")
    table.add_row("validated", f"{manifest.validation.samples} samples on both signatures")
    table.add_row("latency", latency, end_section=True)
    for name, digest in manifest.files.items():
        table.add_row(_text(name), f"{digest.size:>12,} bytes  sha256 {digest.sha256[:16]}…")
    _print(table, manifest.model_dump(mode="json"), as_json)


@_command("verify", click.Argument(["version"], type=NUMBER, required=False), JSON)
def verify(registry: Registry, version: int | None, as_json: bool) -> None:
    """Read a version, or every one, through and compare each byte's checksums."""
    table = Table("Version", "Files", "Verdict")
    rows = []
    for number in registry.versions() if version is None else [version]:
        try:
            problems = registry.verify(number)
            files = len(registry.manifest(number).files)
        except ForeignVersionError as error:
            problems, files = [str(error)], 0
        rows.append({"version": number, "files": files, "problems": problems})
        table.add_row(str(number), str(files), "\n".join(map(_text, problems)) or "whole")
    _print(table, rows, as_json)
    broken = [str(row["version"]) for row in rows if row["problems"]]
    if broken:
        raise StepError(
            f"{registry.location}: not whole: {', '.join(broken)}; publish those models again and "
            "promote or roll back to a whole version"
        )


@_command(
    "report",
    click.Option(
        ["--output"], default="registry.html", show_default=True, help="The file to write."
    ),
    click.Option(
        ["--runs"],
        default="runs",
        show_default=True,
        help="Directory of local runs; a version links to its run where that is there.",
    ),
)
def report(registry: Registry, output: str, runs: str) -> None:
    """Write a page of all versions: precision, champion, data drift, what each was trained on."""
    from components.registry.report import render  # only here jinja2 is needed

    def run_page(run_id: str) -> str:
        page = Path(runs).absolute() / run_id / RUN_INDEX
        if Path(run_id).name != run_id or not page.is_file():
            return ""
        return quote(os.path.relpath(page, Path(output).absolute().parent))

    write_text(Path(output), render(registry, run_page))
    click.echo(f"Wrote {output}")


@_command("promote", VERSION, DRY_RUN)
def promote(registry: Registry, version: int, dry_run: bool) -> None:
    """Make a version the champion."""
    registry.manifest(version)
    before = registry.champion()
    if not dry_run:
        registry.promote(version)
    _print_champion(registry, before.version if before else None, version, dry_run)


@_command("rollback", DRY_RUN)
def rollback(registry: Registry, dry_run: bool) -> None:
    """Make the champion before this one the champion again."""
    before = registry.champion()
    after = registry.rollback(dry_run)
    _print_champion(registry, before.version if before else None, after.version, dry_run)


def _print_champion(registry: Registry, before: int | None, after: int, dry_run: bool) -> None:
    table = Table("Model", "Champion before", "Champion now" if not dry_run else "Would be")
    table.add_row(registry.location, "none" if before is None else str(before), str(after))
    _print(table, None, as_json=False)


@_command(
    "copy",
    VERSION,
    click.Option(
        ["--to"],
        required=True,
        help="Registry to publish it in: a directory, or gs://bucket/prefix.",
    ),
    *(each for each in options(Push) if each.name in ("max_serving_ms", "max_model_mib")),
)
def copy(registry: Registry, version: int, to: str, **bounds: float) -> None:
    """Publish a version in another registry: proved there anew, whole or not at all, and once."""
    from components.registry.copy import copy_version

    model_name = registry.location.rpartition("/")[2]
    config = build(Push, {"destination": to, "model_name": model_name, **bounds})
    target = Registry.open(to, model_name)
    number = copy_version(registry, version, target, config)
    click.echo(f"To make it the champion there: {target.promotion(number)}")


@_command(
    "prune",
    click.Option(
        ["--keep"], type=click.IntRange(min=1), required=True, help="Newest versions to keep."
    ),
    click.Option(
        ["--grace-minutes"],
        type=click.FloatRange(min=0),
        default=60.0,
        show_default=True,
        help="Leave what was written this recently alone: a push may still be at it.",
    ),
    DRY_RUN,
    JSON,
)
def prune(
    registry: Registry, keep: int, grace_minutes: float, dry_run: bool, as_json: bool
) -> None:
    """Remove old versions, never the champion, and what killed pushes left behind."""
    versions, leftovers = registry.removable(keep, 60 * grace_minutes)
    if not dry_run:
        versions, leftovers = registry.remove(versions, leftovers, 60 * grace_minutes)
    table = Table("Would be removed" if dry_run else "Removed", "Why")
    for version in versions:
        table.add_row(str(version), f"older than the newest {keep}")
    for leftover in leftovers:
        table.add_row(leftover, "left by a push that did not finish")
    if not versions and not leftovers:
        table.add_row("nothing", "")
    _print(table, {"versions": versions, "leftovers": leftovers}, as_json)


@_command("check", JSON)
def check(registry: Registry, as_json: bool) -> None:
    """Try whether the store keeps what a registry needs, in a model of its own that is removed."""
    from components.registry.check import check_store

    destination = registry.location.rpartition("/")[0] or "."
    with redirect_stdout(sys.stderr):  # what is uploaded meanwhile is said there
        findings = check_store(destination)
    table = Table("Promise", "Verdict")
    for finding in findings:
        table.add_row(finding.promise, _text(finding.problem) or "holds")
    _print(table, [finding._asdict() for finding in findings], as_json)
    if broken := [finding.promise for finding in findings if finding.problem]:
        raise StepError(
            f"{destination}: this store does not keep: {'; '.join(broken)}; name another one"
        )


@_command(
    "serving-config",
    click.Option(["--base-path"], help="Where the server sees the model; default: where it lies."),
    click.Option(
        ["--format", "server"],
        type=click.Choice(["tf-serving", "kserve"]),
        default="tf-serving",
        show_default=True,
        help="Whose: TensorFlow Serving's model configuration, or KServe's InferenceService.",
    ),
)
def serving_config(registry: Registry, base_path: str | None, server: str) -> None:
    """Print what has a server serve the champion, and no other version."""
    from components.registry.serving import FORMATS

    champion = registry.in_use()
    if champion is None:
        raise StepError(f"{registry.location}: no champion yet; push a model or promote a version")
    location = registry.location
    if "://" not in location:
        location = str(Path(location).absolute())  # TensorFlow Serving refuses a relative one
    name = location.rpartition("/")[2]
    click.echo(FORMATS[server](name, base_path or location, champion))


if __name__ == "__main__":
    registry_commands(prog_name="python -m components.registry")
