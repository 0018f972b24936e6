"""What a person sees of a local run: live on a terminal, plain lines in a log."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

STATUS_LINE = re.compile(r"Step (\d+): ")
TRACEBACK = "Traceback (most recent call last):"


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
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Shows that a step runs."""
        self._name, self._hidden = name, False
        self._console.print(f"[bold]{name}[/bold]: running")
        task = self._progress.add_task(name, total=None, status="")
        with self._progress:
            yield
        self._progress.remove_task(task)

    def line(self, line: str) -> None:
        """Shows a line that the step printed; one that counts steps moves the bar."""
        # A traceback is in the log; a person gets its last line, the error, with the outcome.
        self._hidden = self._hidden or (line.startswith(TRACEBACK) and not self._debug)
        counted = STATUS_LINE.match(line)
        if counted and not self._progress.disable:
            self._progress.update(
                self._progress.task_ids[-1],
                completed=int(counted[1]),
                total=self._max_steps,
                status=line,
            )
        elif not self._hidden:
            self._console.print(f"{self._name:>8} | {escape(line)}")

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
        self._console.print(f"Log: {log}")

    def interruption(self, name: str) -> None:
        """Says in which step a run was interrupted."""
        self._console.print(f"[bold red]Interrupted[/]{f' in {name}' if name else ''}")

    def places(self, rows: list[tuple[str, object, str]]) -> None:
        """Shows where things lie, and the command that opens each."""
        for name, place, command in rows:
            self._console.print(f"{name + ':':<12} {place}")
            if command:
                self._console.print(f"{'':<12} {command}", style="dim")
