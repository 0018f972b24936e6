"""Sources that have a place for each day: ``{date}`` in an address."""

from datetime import UTC, date, datetime, timedelta

from components.shared.addresses import redacted
from components.shared.errors import StepError

DATE = "{date}"  # in an address: a day, as 2026-11-23


def days_until(span: int, until: str) -> tuple[date, date]:
    """Returns the first and the last day of a span.

    Args:
        span: How many days; 0, and more than the calendar has, is all.
        until: The last day, or a time in it, as in ISO 8601; empty is today (UTC).

    Raises:
        StepError: ``until`` is not such a time.
    """
    try:
        time = datetime.fromisoformat(until) if until else datetime.now(UTC)
        last = time.astimezone(UTC).date() if time.tzinfo else time.date()
    except (ValueError, OverflowError):
        raise StepError(
            f"--until {until}: expected a day or a time, as 2026-11-23 or 2026-11-23T03:00:00Z"
        ) from None
    if not 0 < span <= last.toordinal():
        return date.min, last
    return last - timedelta(days=span - 1), last


def with_days(source: str, span: int, until: str) -> str:
    """Returns a source as it may be shown, with the day or days that are read in it.

    Args:
        source: The address.
        span: As of :func:`days_until`.
        until: As of :func:`days_until`.

    Raises:
        StepError: ``until`` is not a time.
    """
    source = redacted(source)
    if DATE not in source:
        return source
    first, last = days_until(span, until)
    days = {0: f"(up to {last})", 1: str(last)}.get(span, f"({first} to {last})")
    return source.replace(DATE, days)
