"""When a schedule fires, as the backend's own parser, robfig/cron 1.2.0, has it."""

from datetime import UTC, datetime

import pytest

from pipeline.remote.cron import next_times
from tests.pipeline.conftest import Cli

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "first", "second"),
    [
        ("0 0 3 * * *", "2026-03-03T03:00:00", "2026-03-04T03:00:00"),
        ("30 */20 * * * *", "2026-03-02T12:00:30", "2026-03-02T12:20:30"),
        ("0 5/20 * * * *", "2026-03-02T12:05:00", "2026-03-02T12:25:00"),
        ("0 0 9 ? * 1-5", "2026-03-03T09:00:00", "2026-03-04T09:00:00"),
        ("0 0 9 * * sun,MON", "2026-03-08T09:00:00", "2026-03-09T09:00:00"),
        ("0 0 6 1 JAN,jul *", "2026-07-01T06:00:00", "2027-01-01T06:00:00"),
        # Day or weekday, unless one of them begins with a star: then both.
        ("0 0 3 9,20 * mon", "2026-03-09T03:00:00", "2026-03-16T03:00:00"),
        ("0 0 3 */2 * mon", "2026-03-09T03:00:00", "2026-03-23T03:00:00"),
    ],
)
def test_six_fields_fire_when_they_say(cron: str, first: str, second: str) -> None:
    times = next_times(cron, 2, MONDAY)
    assert [time.isoformat() for time in times] == [f"{first}+00:00", f"{second}+00:00"]


@pytest.mark.parametrize(
    ("cron", "problem"),
    [
        ("0 3 * * *", "write '0 0 3 * * *'"),
        ("nightly", "expected 'second minute hour day month weekday'"),
        ("@daily", "expected 'second minute hour day month weekday'"),
        ("0 0 3 * * * 2026", "expected 'second minute hour day month weekday'"),
        ("0 0 25 * * *", "'25': not a valid hour, expected 0 to 23"),
        ("0 0 22-2 * * *", "'22-2': not a valid hour"),
        ("0 0 3 * * 7", "'7': not a valid weekday (0 is Sunday), expected 0 to 6"),
        ("0 0 3 * * 5-7", "'5-7': not a valid weekday"),
        ("0 0 3 0 * *", "'0': not a valid day, expected 1 to 31"),
        ("0 0 3 L * *", "'L': not a valid day"),
        ("0 0 3 jan * *", "'jan': not a valid day"),
        ("0 0 3 1-2-3 * *", "'2-3': not a valid day"),
        ("0 */0 3 * * *", "'0' is not a step"),
        ("0 0/5/3 3 * * *", "'5/3' is not a step"),
        ("0 0 3 , * *", "names no day"),
        ("0 0 3 31 2 *", "failed to find next date"),
    ],
)
def test_what_the_backend_refuses_or_never_fires_says_what_is_right(
    cli: Cli, cron: str, problem: str
) -> None:
    result = cli("schedule", "--host", "http://nowhere", "--cron", cron, expect=2)
    assert problem in " ".join(result.stderr.split())


def test_a_time_zone_is_refused_with_the_reason(cli: Cli) -> None:
    arguments = ("schedule", "--cron", "0 0 3 * * *", "--time-zone", "Europe/Berlin")
    shown = cli(*arguments, expect=2).stderr
    assert "no time zone of its own" in shown and "CRON_SCHEDULE_TIMEZONE" in shown
