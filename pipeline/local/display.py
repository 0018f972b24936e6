"""What a person sees of a local run: its steps as they go, and at its end what came of it.

A terminal gets a progress bar and colours, a log plain lines, of those that count steps one a
minute.
"""

import math
import re
import shlex
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from components.shared.environment import RUN_INDEX
from components.shared.errors import printable
from components.shared.predictions import Drift
from pipeline.local.record import DRIFT, OUTPUTS, StepRecord
from pipeline.pipelines import Pipeline

STATUS_LINE = re.compile(r"Step (\d+): ")
STATUS_SECONDS = 60.0  # from one such line to the next in a log
STYLES = {  # of a line, by how it begins
    "FAIL ": "bold red",
    "error:": "bold red",
    "Not blessed": "bold red",
    "warning:": "yellow",
    "Blessed": "bold green",
    "Published": "bold green",
    "Alarm": "bold red",
    "Quiet": "bold green",
}
TRACEBACK = "Traceback (most recent call last):"


class _TimeLeft(TimeRemainingColumn):
    """The time left, where it can be said."""

    def render(self, task: Task) -> Text:
        """Returns the column's text."""
        return Text() if task.time_remaining is None else super().render(task).append(" left")


class Display:
    """Shows the steps of a run, one after another.

    Args:
        output: Where to write; a terminal gets a progress bar.
        max_steps: What the progress bar of training counts to.
        debug: Shows tracebacks.
    """

    def __init__(self, output: TextIO, max_steps: int, debug: bool) -> None:
        self._console = Console(file=output, highlight=False, soft_wrap=not output.isatty())
        self._max_steps = max_steps
        self._debug = debug
        self._name = ""
        self._hidden = False
        self._counted = ""  # the last status line that was not printed
        self._status_at = -math.inf  # when one was (s)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            _TimeLeft(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Shows that a step runs."""
        self._name, self._hidden, self._counted = name, False, ""
        self._status_at = -math.inf
        self._console.print(f"[bold]{name}[/bold]: running")
        counts = name == "train"
        task = self._progress.add_task(
            name,
            total=self._max_steps if counts else None,
            status="reading the data, compiling the steps" if counts else "",
        )
        with self._progress:
            yield
        self._progress.remove_task(task)

    def line(self, line: str) -> None:
        """Shows a line that the step printed; one that counts steps moves the bar."""
        # A traceback is in the log; a person gets its last line, the error, with the outcome.
        self._hidden = self._hidden or (line.startswith(TRACEBACK) and not self._debug)
        counted = STATUS_LINE.match(line)
        if counted:
            self._count(line, int(counted[1]))
        elif not self._hidden:
            if self._counted:  # what follows is of that step
                self._print(self._counted)
                self._counted = ""
            self._print(line)

    def _count(self, line: str, step: int) -> None:
        self._counted = line
        if not self._progress.disable:
            self._progress.update(self._progress.task_ids[-1], completed=step, status=line)
        elif (now := time.monotonic()) >= self._status_at + STATUS_SECONDS:
            self._print(line)
            self._counted, self._status_at = "", now

    def _print(self, line: str) -> None:
        """Prints a line under the step's name.

        The name and the line's indentation stand before each part of a long one, too.
        """
        message = line.lstrip()
        styles = (style for start, style in STYLES.items() if message.startswith(start))
        text = Text(printable(message), style=next(styles, ""))
        margin = f"{self._name:>8} | {' ' * (len(line) - len(message))}"
        parts = [text]
        if self._console.is_terminal:
            parts = list(text.wrap(self._console, max(self._console.width - len(margin), 20)))
        for part in parts:
            self._console.print(Text(margin).append_text(part))

    def table(self, rows: list[tuple[str, str, str]], seconds: float) -> None:
        """Shows the outcome of every step: name, seconds, result."""
        table = Table("Step", "Seconds", "Result", show_footer=True)
        table.columns[0].footer, table.columns[1].footer = "total", f"{seconds:.1f}"
        table.columns[1].justify = "right"
        for name, took, result in rows:
            table.add_row(name, took, escape(result))
        self._console.print()
        self._console.print(table)

    def failure(self, name: str, error: str, log: Path) -> None:
        """Names the step that failed, its error and its log."""
        self._console.print(f"[bold red]{name} failed[/]: {escape(error.removeprefix('error: '))}")
        self._console.print(f"Log: {escape(str(log))}", soft_wrap=True)

    def drift(self, result: str, drift: Drift) -> None:
        """Says whether all is quiet, or what probably happened, what moved, and what to do."""
        if not drift.diagnosis:
            self._console.print(Text(printable(result), style=STYLES["Quiet"]), soft_wrap=True)
            return
        moved = (verdict.reason for verdict in drift.verdicts if not verdict.passed)
        for number, reason in enumerate((drift.diagnosis.sentence, *moved)):
            margin = f"{'' if number else 'Alarm:':<12} "
            alarm = Text.assemble((margin, STYLES["Alarm"]), (printable(reason), "red"))
            self._console.print(alarm, soft_wrap=True)
        for number, advice in enumerate(drift.diagnosis.advice):
            name = "" if number else "What to do:"
            self._console.print(f"{name:<12} {escape(advice.text)}", soft_wrap=True)
            if advice.command:
                command = escape(printable(advice.command))
                self._console.print(f"{'':<12} {command}", style="dim", soft_wrap=True)

    def interruption(self, name: str) -> None:
        """Says in which step a run was interrupted."""
        self._console.print(f"[bold red]Interrupted[/]{f' in {name}' if name else ''}")

    def places(self, rows: Iterable[tuple[str, object, str]]) -> None:
        """Shows where things lie, and the command that opens each."""
        for name, place, command in rows:
            # Never wrapped, so that a path or a command can be copied.
            self._console.print(f"{name + ':':<12} {escape(str(place))}", soft_wrap=True)
            if command:
                self._console.print(f"{'':<12} {escape(command)}", style="dim", soft_wrap=True)


def show_outcome(
    pipeline: Pipeline,
    display: Display,
    steps: dict[str, StepRecord],
    directory: Path,
    parameters: dict[str, Any],
) -> None:
    """Shows what came of every step of a run that is over, and where its outputs lie."""
    failed = next((name for name, step in steps.items() if step.exit_code), None)
    rows = []
    for name in pipeline.step_names:
        if name not in steps:
            if not parameters.get(name, True):  # a step that is off
                continue
            skipped = pipeline.skip_reasons.get(name, "")
            skipped = "--no-push" if parameters.get("no_push") else skipped
            rows.append((name, "", "not run" if failed else f"skipped: {skipped}"))
        else:
            step = steps[name]
            rows.append((name, f"{step.seconds:.1f}", "failed" if step.exit_code else step.result))
    display.table(rows, sum(step.seconds for step in steps.values()))
    if failed:
        display.failure(failed, steps[failed].result, directory / failed / "log.txt")
        return
    if "watch" in steps:
        display.drift(steps["watch"].result, Drift.read(directory / DRIFT))
    display.places(_places(steps, directory, parameters))


def _places(
    steps: dict[str, StepRecord], directory: Path, parameters: dict[str, Any]
) -> Iterator[tuple[str, object, str]]:
    """Yields where a run's outputs lie: name, place, and the command that opens it."""
    yield "Run", directory / RUN_INDEX, ""
    if "tune" in steps:
        study = _logs(directory, parameters)
        yield "Search", study / "tuning.html", _opening(study / "tuning.html")
    if step := next((name for name in ("train", "tune") if name in steps), ""):
        report = directory / OUTPUTS["Report of the evaluation"]
        logs = _logs(directory, parameters)
        yield "Model", directory / step / "model", ""
        yield "Report", report, _opening(report)
        yield "TensorBoard", logs, f"make tensorboard LOGS={shlex.quote(str(logs))}"
    if "watch" in steps:
        drift = directory / OUTPUTS["What moved"]
        yield "Predictions", directory / "predict" / "predictions", ""
        yield "Drift", drift, _opening(drift)


def _opening(page: Path) -> str:
    return f"python3 -m webbrowser {shlex.quote(str(page))}"


def show_interrupted(
    display: Display, step: str, directory: Path, parameters: dict[str, Any]
) -> None:
    """Says what an interrupted run leaves, and how another one goes on from there."""
    logs = _logs(directory, parameters)
    steps = [int(path.stem.split("-")[-1]) for path in logs.glob("ckpt-*.index")]
    kept = f"with the checkpoint of step {max(steps):,}" if steps else ""
    if "trials" in parameters and (logs / "journal.log").exists():
        kept = "with all trials so far; those that were being trained go on"
    display.interruption(step)
    if not kept:
        display.places([("Kept", directory, "no checkpoint yet; start again")])
        return
    command = ["python", "-m", "pipeline", *sys.argv[1:]]
    if not parameters.get("checkpoints"):
        command += ["--checkpoints", str(logs)]
    display.places(
        [
            ("Kept", directory, kept),
            ("To go on", shlex.join(command), ""),
        ]
    )


def _logs(directory: Path, parameters: dict[str, Any]) -> Path:
    own = ("tune", "study") if "trials" in parameters else ("train", "logs")
    return Path(parameters.get("checkpoints") or directory.joinpath(*own))
