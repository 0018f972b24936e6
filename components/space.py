"""What a search may try, as one writes it: ``learning_rate=0.1..1:log hidden=64,32|128,32``."""

from typing import NamedTuple


class Span(NamedTuple):
    """All numbers from one to another."""

    low: str
    high: str
    log: bool  # whether each order of magnitude is as likely
    step: str  # between two of them; empty: none, or 1 between whole numbers

    @property
    def ends(self) -> tuple[str, ...]:
        """The least and the largest."""
        return self.low, self.high


class Choice(NamedTuple):
    """Some values."""

    values: tuple[str, ...]

    @property
    def ends(self) -> tuple[str, ...]:
        """All of them."""
        return self.values


Space = dict[str, Span | Choice]


def parse(text: str) -> Space:
    """Reads what may be tried, by the option's name; values stay as they are written.

    Raises:
        ValueError: It is not written so; says which part and what was expected.
    """
    found: Space = {}
    for part in text.split():
        name, equals, values = part.partition("=")
        name = name.removeprefix("--").replace("-", "_")
        if not equals or not name:
            raise ValueError(
                f"{part!r}, expected name=low..high, with :log or :step, or name=a|b|c"
            )
        if name in found:
            raise ValueError(f"{name} twice, expected it once")
        found[name] = _values(name, values)
    if not found:
        raise ValueError("nothing to try, expected as learning_rate=0.1..1:log")
    return found


def _values(name: str, text: str) -> Span | Choice:
    if ".." not in text:
        values = tuple(text.split("|"))
        if len(set(values)) < max(len(values), 2) or "" in values:
            raise ValueError(f"{name}={text}: expected several different values, as a|b|c, or a..b")
        return Choice(values)
    low, _, rest = text.partition("..")
    high, _, how = rest.partition(":")
    try:
        rising = float(low) < float(high)
        steps = how in ("", "log") or float(how) > 0
    except ValueError:
        raise ValueError(
            f"{name}={text}: expected two numbers, then maybe :log or a :step"
        ) from None
    if not rising or not steps:
        raise ValueError(f"{name}={text}: expected low..high, the lower first, and a step above 0")
    if how == "log" and float(low) <= 0:
        raise ValueError(f"{name}={text}: expected :log with numbers above 0")
    return Span(low, high, how == "log", "" if how == "log" else how)
