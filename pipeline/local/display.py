"""What a person sees of a local run: live on a terminal, plain lines in a log."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

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

from components.shared.errors import printable

STATUS_LINE = re.compile(r"Step (\d+): ")
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


class _Left(TimeRemainingColumn):
    """The time left, where it can be told."""

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
        self._counted = ""  # the last line that only moved the bar
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            _Left(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Shows that a step runs."""
        self._name, self._hidden, self._counted = name, False, ""
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
        if counted and not self._progress.disable:
            self._counted = line
            self._progress.update(
                self._progress.task_ids[-1], completed=int(counted[1]), status=line
            )
        elif not self._hidden:
            if self._counted:  # what follows is of that step
                self._print(self._counted)
                self._counted = ""
            self._print(line)

    def _print(self, line: str) -> None:
        """Prints a line under the step's name.

        The name and the line's indentation stand before each part of a long one, too.
        """
        said = line.lstrip()
        begins = (style for start, style in STYLES.items() if said.startswith(start))
        text = Text(printable(said), style=next(begins, ""))
        margin = f"{self._name:>8} | {' ' * (len(line) - len(said))}"
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

    def watched(self, result: str, moved: list[str], retrain: str) -> None:
        """Says whether all is quiet, or what moved and the command that retrains."""
        if not moved:
            self._console.print(Text(printable(result), style=STYLES["Quiet"]), soft_wrap=True)
            return
        for number, reason in enumerate(moved):
            margin = f"{'' if number else 'Alarm:':<12} "
            alarm = Text.assemble((margin, STYLES["Alarm"]), (printable(reason), "red"))
            self._console.print(alarm, soft_wrap=True)
        self.places([("Retrain", printable(retrain), "")])

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
