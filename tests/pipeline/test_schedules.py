"""Schedules on a server over HTTP, and when they fire."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from components.shared.errors import StepError
from pipeline import schedules
from tests.pipeline.conftest import Cli
from tests.pipeline.fake_kfp import FakeKfp

NIGHTLY = "0 0 3 * * *"
MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "first", "second"),
    [
        (NIGHTLY, "2026-03-03T03:00:00", "2026-03-04T03:00:00"),
        ("30 */20 * * * *", "2026-03-02T12:00:30", "2026-03-02T12:20:30"),
        ("0 0 9 ? * 1-5", "2026-03-03T09:00:00", "2026-03-04T09:00:00"),
        ("0 0 6 1 JAN,jul *", "2026-07-01T06:00:00", "2027-01-01T06:00:00"),
    ],
)
def test_six_fields_fire_when_they_say(cron: str, first: str, second: str) -> None:
    times = schedules.next_times(cron, 2, MONDAY)
    assert [time.isoformat() for time in times] == [f"{first}+00:00", f"{second}+00:00"]


@pytest.mark.parametrize(
    ("cron", "problem"),
    [
        ("0 3 * * *", "write '0 0 3 * * *'"),
        ("nightly", "'nightly' is wrong"),
        ("0 0 3 * * * 2026", "7 is wrong"),
        ("0 0 25 * * *", "expected 'second minute hour day month weekday'"),
        ("0 0 3 * * 7", "0 (Sunday) to 6 (Saturday)"),
        ("0 0 3 L * *", "'L' is wrong"),
        ("", "0 is wrong"),
    ],
)
def test_a_wrong_expression_says_what_is_right(cron: str, problem: str) -> None:
    with pytest.raises(StepError) as raised:
        schedules.next_times(cron)
    assert problem in str(raised.value)


def test_a_schedule_runs_one_at_a_time_without_catching_up(kfp_server: FakeKfp, cli: Cli) -> None:
    result = cli("schedule", "--host", kfp_server.url, "--cron", NIGHTLY, "-p", "max_steps=20")
    (schedule,) = kfp_server.recurring
    assert schedule["mode"] == "ENABLE"
    assert schedule["no_catchup"] is True
    assert int(schedule["max_concurrency"]) == 1
    assert schedule["trigger"] == {"cron_schedule": {"cron": NIGHTLY}}
    assert schedule["runtime_config"]["parameters"]["max_steps"] == 20
    assert result.output.count(" 03:00:00 UTC") == 5
    assert f"{kfp_server.url}/#/recurringrun/details/V2beta1RecurringRun-0" in result.output


def test_each_run_reads_data_up_to_its_own_time(
    kfp_server: FakeKfp, cli: Cli, dated_pipeline: Path
) -> None:
    arguments = ("schedule", "--host", kfp_server.url, "--cron", NIGHTLY, "--file", dated_pipeline)
    cli(*arguments)
    (schedule,) = kfp_server.recurring
    until = schedule["runtime_config"]["parameters"]["until"]
    assert until == "[[ScheduledTime.2006-01-02T15:04:05Z]]"


@pytest.fixture
def dated_pipeline(tmp_path: Path) -> Path:
    """A compiled pipeline with the parameter that says up to when data is read."""
    from kfp import compiler, dsl

    @dsl.component(base_image="mnist-pipeline-ingest")
    def read(until: str) -> None:
        pass

    @dsl.pipeline
    def dated(until: str = "", max_steps: int = 1) -> None:
        read(until=until)

    compiler.Compiler().compile(dated, str(tmp_path / "dated.yaml"))
    return tmp_path / "dated.yaml"


def test_a_schedule_replaces_the_one_of_its_name(kfp_server: FakeKfp, cli: Cli) -> None:
    kfp_server.page_size = 1
    arguments = ("schedule", "--host", kfp_server.url, "--cron")
    cli(*arguments, NIGHTLY, "--name", "other")
    cli(*arguments, NIGHTLY, "--name", "nightly")
    result = cli(*arguments, "0 0 4 * * *", "--name", "nightly")
    assert "replaces 1" in result.output
    left = {
        (s["display_name"], s["trigger"]["cron_schedule"]["cron"]) for s in kfp_server.recurring
    }
    assert left == {("other", NIGHTLY), ("nightly", "0 0 4 * * *")}


def test_a_refused_schedule_leaves_the_one_of_its_name(kfp_server: FakeKfp, cli: Cli) -> None:
    cli("schedule", "--host", kfp_server.url, "--cron", NIGHTLY)
    cli("schedule", "--host", kfp_server.url, "--cron", "0 3 * * *", expect=1)
    assert len(kfp_server.recurring) == 1


def test_schedules_are_listed_paused_resumed_and_deleted(kfp_server: FakeKfp, cli: Cli) -> None:
    at = ("schedule", "--host", kfp_server.url)
    cli(*at, "--cron", NIGHTLY, "--name", "nightly")
    assert cli(*at, "list").output == f"nightly  enabled  {NIGHTLY}\n"
    cli(*at, "pause", "nightly")
    assert cli(*at, "list").output == f"nightly  disabled  {NIGHTLY}\n"
    cli(*at, "resume", "nightly")
    assert cli(*at, "list").output == f"nightly  enabled  {NIGHTLY}\n"
    cli(*at, "delete", "nightly")
    assert cli(*at, "list").output == ""


def test_a_schedule_that_is_not_there_is_one_line(kfp_server: FakeKfp, cli: Cli) -> None:
    error = cli("schedule", "--host", kfp_server.url, "pause", "nightly", expect=1).stderr
    assert "no schedule 'nightly'" in error


def test_a_dry_run_shows_the_times_and_sends_nothing(kfp_server: FakeKfp, cli: Cli) -> None:
    result = cli("schedule", "--host", kfp_server.url, "--cron", NIGHTLY, "--dry-run")
    assert len(json.loads(result.output)["next"]) == 5
    assert not kfp_server.recurring
