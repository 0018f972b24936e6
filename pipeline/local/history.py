"""The runs on this machine: ``python -m pipeline runs`` lists them, or compares some.

Models are chosen by the validation split. So the list is sorted by it, and never by the test split,
which is to say how good the one is that was chosen.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.shared.command_line import Place, exit_on_error
from components.shared.errors import StepError, printable
from components.shared.manifests import SPLITS, Dataset, Evaluation
from components.shared.storage import write_text
from pipeline.local.newest import Within, newest
from pipeline.local.record import DRIFT, RunRecord, read_runs
from pipeline.pipelines import PIPELINES
from pipeline.remote.options import connection_options, pipeline_option

COLOURS = {
    "published": "green",
    "blessed": "green",
    "quiet": "green",
    "alarm": "red",
    "failed": "red",
    "interrupted": "red",
    "unfinished": "yellow",
}
PRECISION = "precision@1"
STARTED = "started"


@dataclass(frozen=True)
class _Run:
    """A run, and what its directory holds."""

    record: RunRecord
    directory: Path

    @property
    def version(self) -> str:
        """The version that was published or predicted with; empty where none was."""
        published = self.record.published.rstrip("/").rpartition("/")[2]
        return published or str(self.record.predicted_with or "")

    @property
    def settings(self) -> dict[str, str]:
        """What the run depends on: parameters, code and data."""
        found = {name: str(value) for name, value in self.record.parameters.items()}
        found["code"] = str(self.record.code)
        try:
            dataset = Dataset.read(self.directory / "ingest" / "examples")
        except StepError:
            return found
        return found | {"dataset": dataset.fingerprint[:12]}

    @cached_property
    def figures(self) -> dict[str, float]:
        """What was measured, by name."""
        return dict(self._figures())

    def _figures(self) -> Iterator[tuple[str, float]]:
        try:
            evaluation = Evaluation.read(self.directory / "evaluate" / "evaluation")
        except StepError:
            pass
        else:
            for split in SPLITS:
                yield f"{split} {PRECISION}", evaluation.splits[split].precision_at_1
            yield "validation loss", evaluation.splits["validation"].log_loss
        if (self.directory / DRIFT).is_dir():
            from components.shared.predictions import Drift  # numpy's import is for who has one

            drift = Drift.read(self.directory / DRIFT)
            yield "images", drift.images
            for figure in drift.figures:
                yield f"{figure.name}, measured", figure.value
        for name, step in self.record.steps.items():
            yield f"{name}, seconds", step.seconds


@click.command("runs")
@click.argument("names", nargs=-1)
@click.option("--runs", default="runs", show_default=True, help="Directory that holds the runs.")
@click.option(
    "--sort",
    default="validation",
    show_default=True,
    help="What to sort by, the best first: a figure's name or how it begins, as 'train, seconds'; "
    "or started. Never a figure of the test split.",
)
@click.option(
    "--csv",
    "output",
    type=Place(),
    default="",
    help="File to write all settings and figures to, a line a run; - is the terminal.",
)
@click.option(
    "--newest-within",
    type=Within(),
    help="Say only whether a run of --pipeline that began within this time, as 26h, did its work: "
    "exit code 1 where none did. With --host on a cluster, else on this machine.",
)
@pipeline_option
@connection_options
def runs(
    names: tuple[str, ...],
    runs: str,
    sort: str,
    output: str,
    newest_within: timedelta | None,
    pipeline: str,
    **values: Any,
) -> None:
    """List the runs on this machine, or compare some: NAMES are runs, or the ends of their names,
    or latest.
    """  # noqa: D205
    with exit_on_error():
        if newest_within:
            click.echo(newest(PIPELINES[pipeline], newest_within, Path(runs), values))
            return
        if len(names) == 1:
            raise click.UsageError("expected no name, which lists all runs, or several to compare.")
        found = _named(Path(runs), names) if names else _sorted(_read(Path(runs)), sort)
        if not found:
            raise StepError(f"{runs}: does not hold a run; start one: python -m pipeline local")
        if output:
            _write_csv(found, output)
            return
        console = Console(highlight=False, soft_wrap=False)
        console.print(_compared(found) if names else _listed(found))
        if not names:
            console.print(
                f"Val.: {PRECISION} on the validation split. V: version published or predicted "
                "with. +: changed code."
            )


def _read(directory: Path) -> list[_Run]:
    return [_Run(record, path) for path, record in read_runs(directory, warn=True)]


def _named(directory: Path, names: tuple[str, ...]) -> list[_Run]:
    runs = _directories(directory)
    found = []
    for name in names:
        whole = [path.resolve() for path in runs if path.name == name]
        paths = whole or [p for p in runs if p.name.endswith(name) and not p.is_symlink()]
        if len(paths) != 1:
            what = f"{len(paths) or 'no'} run{'s' if paths else ''}"
            raise StepError(f"{directory}: {what} with a name that ends in {name!r}; see: runs")
        found.append(_Run(RunRecord.read(paths[0]), paths[0]))
    return found


def _directories(directory: Path) -> list[Path]:
    """Returns the directories of the runs, and the links to the newest."""
    return [path.parent for path in directory.glob(f"*/{RunRecord.FILE}")]


def _text(found: object) -> str:
    """Returns what a manifest says as it may be shown: it steers neither rich nor the terminal."""
    return escape(printable(str(found)))


def _sorted(found: list[_Run], by: str) -> list[_Run]:
    """Returns the runs, those with the best figure first and those without it last.

    Raises:
        StepError: There is no such figure, or it is one of the test split.
    """
    found = sorted(found, key=lambda run: run.record.started)
    if by == STARTED or not found:
        return found
    known = list(dict.fromkeys(name for run in found for name in run.figures))
    name = next((name for name in known if name.startswith(by)), "")
    if name.startswith("test "):
        raise StepError(f"--sort {by}: a model is chosen by validation; test is for the chosen one")
    if not name and by != "validation":
        choices = [each for each in known if not each.startswith("test ")]
        raise StepError(f"--sort {by}: expected {'; '.join([STARTED, *choices])}")
    sign = -1 if name.endswith(PRECISION) else 1  # of losses and times the least is the best
    having = [run for run in found if name in run.figures]
    without = [run for run in found if name not in run.figures]
    return sorted(having, key=lambda run: sign * run.figures[name]) + without


def _listed(found: list[_Run]) -> Table:
    table = Table(
        *("Run", "Outcome", "Val.", "V", "Code", "Source"),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 0),  # the box has its own, and the source needs room on a narrow terminal
    )
    table.columns[5].overflow = "fold"
    for column in table.columns[:5]:
        column.no_wrap = True
    for run in found:
        record, precision = run.record, run.figures.get(f"validation {PRECISION}")
        table.add_row(
            _text(record.name),
            f"[{COLOURS.get(record.outcome, 'default')}]{record.outcome}[/]",
            "" if precision is None else f"{precision:.4f}",
            _text(run.version),
            _text(record.commit[:7] + ("+" if record.dirty else "")),
            _text(record.source or record.parameters.get("source", "")),
        )
    return table


def _compared(found: list[_Run]) -> Table:
    """Returns the settings that differ, and all figures, a column a run."""
    names = [_text(run.record.name) for run in found]
    table = Table("", *names, title="What differs, and what came of it")
    for column in table.columns:
        column.overflow = "fold"
    settings = [run.settings for run in found]
    for name in sorted(set().union(*settings)):
        values = [each.get(name, "") for each in settings]
        if len(set(values)) > 1:
            table.add_row(*map(_text, (name, *values)))
    table.add_section()
    table.add_row("outcome", *(run.record.outcome for run in found))
    table.add_row("version", *(_text(run.version) for run in found))
    for name in dict.fromkeys(name for run in found for name in run.figures):
        table.add_row(*map(_text, (name, *(_figure(name, run) for run in found))))
    return table


def _figure(name: str, run: _Run) -> str:
    if name not in run.figures:
        return ""
    value = run.figures[name]
    if name.endswith("seconds"):
        return f"{value:.1f}"
    return f"{value:.4f}" if name.endswith(PRECISION) else f"{value:,.4g}"


def _write_csv(found: list[_Run], output: str) -> None:
    rows: list[dict[str, Any]] = [
        {
            "run": run.record.name,
            STARTED: run.record.started.isoformat(),
            "outcome": run.record.outcome,
            "version": run.version,
            **run.settings,
            **run.figures,
        }
        for run in found
    ]
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    if output == "-":
        click.echo(text.getvalue(), nl=False)
    else:
        write_text(Path(output), text.getvalue())
        click.echo(f"Wrote {output}")
