"""Cron expressions as Kubeflow Pipelines reads them: robfig/cron version 1, six fields."""

import re
from datetime import UTC, datetime
from typing import NamedTuple

from croniter import croniter

EXAMPLE = "expected 'second minute hour day month weekday', as '0 0 3 * * *' for every day at 03:00"
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


class _Field(NamedTuple):
    """A field of an expression, and what it may hold."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()  # for low, low + 1, …


FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, tuple(MONTHS)),
    _Field("weekday (0 is Sunday)", 0, 6, tuple(WEEKDAYS)),
)


def next_times(cron: str, count: int = 5, after: datetime | None = None) -> list[datetime]:
    """Returns when a cron expression fires next.

    Args:
        cron: Six fields, seconds first, as Kubeflow Pipelines reads them.
        count: How many times to return.
        after: The time to start from, now if None.

    Raises:
        ValueError: It is not such an expression; says what is expected.
    """
    parts = cron.split()
    if len(parts) == 5:
        raise ValueError(
            f"{cron!r}: five fields, but Kubeflow Pipelines reads six, seconds first; "
            f"write '0 {' '.join(parts)}'"
        )
    if len(parts) != len(FIELDS):
        raise ValueError(f"{cron!r}: {EXAMPLE}")
    try:
        values = [_values(*pair) for pair in zip(parts, FIELDS, strict=True)]
        # Where day or weekday is a star, with or without a step, both must hold; else one of them.
        either = not any(re.search(r"(^|,)[*?]", parts[place]) for place in (3, 5))
        plain = " ".join(",".join(map(str, sorted(value))) for value in values)
        start = after or datetime.now(UTC)
        times = croniter(plain, start, second_at_beginning=True, day_or=either)
        return [times.get_next(datetime) for _ in range(count)]
    except (ValueError, KeyError) as error:
        raise ValueError(f"{cron!r}: {error}; {EXAMPLE}") from None


def _values(text: str, field: _Field) -> set[int]:
    """Returns what a field stands for: ``1-5``, ``*/20``, ``mon,wed``, ``?``, one after another."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if dash and first in ("*", "?"):
            raise ValueError(f"{part!r}: not a valid {field.name}")
        low = field.low if first in ("*", "?") else _number(first, field)
        high = field.high if first in ("*", "?") or (step and not dash) else low
        high = _number(last, field) if dash else high
        if not field.low <= low <= high <= field.high:
            raise ValueError(
                f"{part!r}: not a valid {field.name}, expected {field.low} to {field.high}, "
                "the lower first"
            )
        found.update(range(low, high + 1, _step(part, step) if "/" in part else 1))
    if not found:
        raise ValueError(f"{text!r} names no {field.name}")
    return found


def _number(text: str, field: _Field) -> int:
    if text.lower() in field.names:
        return field.low + field.names.index(text.lower())
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r}: not a valid {field.name}")
    return int(text)


def _step(part: str, step: str) -> int:
    if not (step.isascii() and step.isdigit()) or int(step) == 0:
        raise ValueError(f"{part!r}: {step!r} is not a step")
    return int(step)
