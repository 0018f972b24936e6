"""The table of what is promised: a row a promise, printed as it comes and once more at the end."""

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.shared.errors import StepError

State = Literal["holds", "does not hold", "not tried"]
Check = TypeVar("Check", bound=Callable[..., Iterator["Seen"]])


class Seen(NamedTuple):
    """What was seen of one promise."""

    state: State
    text: str


class SkippedError(Exception):
    """A promise cannot be tried on this installation; says why."""


class StoppedError(Exception):
    """The whole test is to end."""


def promises(*names: str) -> Callable[[Check], Check]:
    """Says what a check tries: a name for each thing that it yields, in that order."""

    def decorate(check: Check) -> Check:
        check.promises = names  # type: ignore[attr-defined]
        return check

    return decorate


def holds(text: str) -> Seen:
    """Says that a promise holds."""
    return Seen("holds", text)


def expect(truth: bool, text: str) -> Seen:
    """Says whether a promise holds, without an end to those after it."""
    return Seen("holds" if truth else "does not hold", text)


class Board:
    """The rows so far.

    Args:
        console: Where they are printed.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._rows: list[tuple[str, Seen]] = []

    @classmethod
    def on_terminal(cls) -> "Board":
        """Returns a board on what is standard output now: kfp exchanges it for a moment."""
        return cls(Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160))

    def say(self, line: str) -> None:
        """Prints a line beside the table."""
        self._console.print(escape(line), highlight=False)

    def add(self, promise: str, seen: Seen) -> None:
        """Adds a row and prints it."""
        seen = Seen(seen.state, " ".join(seen.text.split()))
        with self._lock:
            self._rows.append((promise, seen))
            self.say(f"{seen.state:>13} | {promise}: {seen.text}")

    def run(self, check: Callable[..., Iterator[Seen]], *arguments: object) -> None:
        """Tries what a check promises; what it does not come to is told as not tried."""
        names: tuple[str, ...] = check.promises  # type: ignore[attr-defined]
        steps, ended = check(*arguments), ""
        for name in names:
            if ended:
                self.add(name, Seen("not tried", ended))
                continue
            try:
                seen = next(steps)
            except (SkippedError, StoppedError) as why:
                seen, ended = Seen("not tried", str(why)), str(why)
            except (AssertionError, StepError, ValueError, LookupError, OSError) as error:
                text = str(error).splitlines()[0] if str(error) else type(error).__name__
                seen, ended = Seen("does not hold", text), f"after what does not hold: {name}"
            self.add(name, seen)

    def print(self) -> None:
        """Prints the table."""
        table = Table("", "Promise", "Seen")
        for promise, seen in self._rows:
            table.add_row(seen.state, promise, escape(seen.text))
        self._console.print(table)

    @property
    def all_hold(self) -> bool:
        """Whether all that was tried holds."""
        return all(seen.state != "does not hold" for _, seen in self._rows)
