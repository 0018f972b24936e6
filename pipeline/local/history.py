"""The runs on this machine: ``python -m pipeline runs`` lists them, or compares two."""

from collections.abc import Iterator
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.shared.command_line import exit_on_error
from components.shared.errors import StepError, printable
from components.shared.manifests import SPLITS, Dataset, Evaluation
from pipeline.local.record import DRIFT, RunRecord

COLOURS = {
    "published": "green",
    "quiet": "green",
    "alarm": "red",
    "failed": "red",
    "interrupted": "red",
    "unfinished": "yellow",
}


@click.command("runs")
@click.argument("names", nargs=-1)
@click.option("--runs", default="runs", show_default=True, help="Directory that holds the runs.")
def runs(names: tuple[str, ...], runs: str) -> None:
    """List the runs on this machine, or compare two: NAMES are two runs, or the ends of their
    names, or latest.
    """  # noqa: D205
    with exit_on_error():
        console = Console(highlight=False, soft_wrap=False)
        if len(names) not in (0, 2):
            raise click.UsageError("expected no name, which lists all runs, or two to compare.")
        if names:
            one, other = (_find(Path(runs), name) for name in names)
            console.print(_compared(one, other))
        else:
            _list(console, Path(runs))


def _list(console: Console, directory: Path) -> None:
    found = sorted(_read(directory), key=lambda run: run.started)
    if not found:
        raise StepError(f"{directory}: does not hold a run; start one: python -m pipeline local")
    table = Table(
        *("Run", "Outcome", "Test", "V", "Code", "Source"),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 0),  # the box has its own, and the source needs room on a narrow terminal
    )
    table.columns[5].overflow = "fold"
    for column in table.columns[:5]:
        column.no_wrap = True
    for run in found:
        colour = COLOURS.get(run.outcome, "default")
        precision = "" if run.precision is None else f"{run.precision:.4f}"
        source = _text(run.parameters.get("source", ""))
        code = run.commit[:7] + ("+" if run.dirty else "")
        table.add_row(
            _text(run.name),
            f"[{colour}]{run.outcome}[/]",
            precision,
            _text(_version(run)),
            _text(code),
            source,
        )
    console.print(table)
    console.print("Test: precision@1. V: version published or predicted with. +: changed code.")


def _read(directory: Path) -> Iterator[RunRecord]:
    for path in _directories(directory):
        if not path.is_symlink():
            try:
                yield RunRecord.read(path)
            except StepError as error:
                click.echo(f"warning: {error}", err=True)


def _directories(directory: Path) -> list[Path]:
    """Returns the directories of the runs, and the links to the newest."""
    return [path.parent for path in directory.glob(f"*/{RunRecord.FILE}")]


def _text(found: object) -> str:
    """Returns what a manifest says as it may be shown: it steers neither rich nor the terminal."""
    return escape(printable(str(found)))


def _find(directory: Path, name: str) -> tuple[RunRecord, Path]:
    runs = _directories(directory)
    whole = [path.resolve() for path in runs if path.name == name]
    found = whole or [p for p in runs if p.name.endswith(name) and not p.is_symlink()]
    if len(found) != 1:
        what = "no run" if not found else f"{len(found)} runs"
        raise StepError(f"{directory}: {what} with a name that ends in {name!r}; see: runs")
    return RunRecord.read(found[0]), found[0]


def _compared(one: tuple[RunRecord, Path], other: tuple[RunRecord, Path]) -> Table:
    table = Table(
        "", _text(one[0].name), _text(other[0].name), title="What differs, and what came of it"
    )
    for column in table.columns:
        column.overflow = "fold"
    first, second = (dict(_settings(*run)) for run in (one, other))
    for name in sorted(first.keys() | second):
        if first.get(name) != second.get(name):
            table.add_row(*map(_text, (name, first.get(name, ""), second.get(name, ""))))
    table.add_section()
    first, second = (dict(_results(*run)) for run in (one, other))
    for name in {**first, **second}:
        table.add_row(*map(_text, (name, first.get(name, ""), second.get(name, ""))))
    return table


def _settings(run: RunRecord, directory: Path) -> Iterator[tuple[str, str]]:
    yield from ((name, str(value)) for name, value in run.parameters.items())
    yield "code", str(run.code)
    try:
        dataset = Dataset.read(directory / "ingest" / "examples")
    except StepError:
        return
    yield "dataset", dataset.fingerprint[:12]


def _results(run: RunRecord, directory: Path) -> Iterator[tuple[str, str]]:
    yield "outcome", run.outcome
    yield "version", _version(run)
    try:
        judged = Evaluation.read(directory / "evaluate" / "evaluation")
    except StepError:
        pass
    else:
        for split in SPLITS:
            yield f"{split} precision@1", f"{judged.splits[split].precision_at_1:.4f}"
    yield from _measured(directory)
    for name, step in run.steps.items():
        yield f"{name}, seconds", f"{step.seconds:.1f}"


def _measured(directory: Path) -> Iterator[tuple[str, str]]:
    if (directory / DRIFT).is_dir():
        from components.shared.predictions import Drift  # numpy's import is for who compares

        drift = Drift.read(directory / DRIFT)
        yield "images", f"{drift.images:,}"
        for figure in drift.figures:
            yield f"{figure.name}, measured", f"{figure.value:.4g}"


def _version(run: RunRecord) -> str:
    return run.published.rstrip("/").rpartition("/")[2] or str(run.predicted_with or "")
