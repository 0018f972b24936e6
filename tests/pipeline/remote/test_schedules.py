"""Schedules on a server over HTTP."""

import json
import threading
import time
from datetime import date
from pathlib import Path

import pytest

from components.shared.days import days_until
from tests.pipeline.conftest import Cli
from tests.pipeline.remote.fake_kfp import FakeKfp

NIGHTLY = "0 0 3 * * *"


def at(server: FakeKfp) -> tuple[str, ...]:
    """The command that schedules there."""
    return ("schedule", "--host", server.url, "-p", "destination=gs://bucket/registry")


def listed(server: FakeKfp) -> set[tuple[str, str]]:
    """Name and cron expression of the schedules there."""
    crons = [(s["display_name"], s["trigger"]["cron_schedule"]["cron"]) for s in server.recurring]
    return set(crons)


def test_a_schedule_runs_one_at_a_time_without_catching_up(kfp_server: FakeKfp, cli: Cli) -> None:
    result = cli(*at(kfp_server), "--cron", NIGHTLY, "-p", "max_steps=20")
    (schedule,) = kfp_server.recurring
    assert schedule["mode"] == "ENABLE"
    assert schedule["no_catchup"] is True
    assert int(schedule["max_concurrency"]) == 1
    assert schedule["trigger"] == {"cron_schedule": {"cron": NIGHTLY}}
    assert schedule["runtime_config"]["parameters"]["max_steps"] == 20
    assert result.output.count(" 03:00:00 UTC") == 5
    assert f"{kfp_server.url}/#/recurringrun/details/V2beta1RecurringRun-0" in result.output


def test_each_run_reads_data_up_to_its_own_time(kfp_server: FakeKfp, cli: Cli) -> None:
    cli(*at(kfp_server), "--cron", NIGHTLY)
    (schedule,) = kfp_server.recurring
    for day in (25, 26):
        run = kfp_server.start(schedule, f"2026-11-{day}T03:00:00Z")
        until = run["inputs"]["ingest"]["until"]
        assert until == f"2026-11-{day}T03:00:00Z"
        assert days_until(1, until)[1] == date(2026, 11, day)


def test_an_explicit_day_is_kept(kfp_server: FakeKfp, cli: Cli) -> None:
    cli(*at(kfp_server), "--cron", NIGHTLY, "-p", "until=2026-11-01")
    run = kfp_server.start(kfp_server.recurring[0], "2026-11-25T03:00:00Z")
    assert run["inputs"]["ingest"]["until"] == "2026-11-01"


def test_a_single_run_has_a_plain_parameter(kfp_server: FakeKfp, cli: Cli) -> None:
    cli("submit", "--host", kfp_server.url)
    document = kfp_server.runs[0]["pipeline_spec"]["pipeline_spec"]
    assert "schedule_time" not in json.dumps(document)


def test_a_pipeline_without_that_parameter_is_sent_as_it_is(
    kfp_server: FakeKfp, cli: Cli, other_pipeline: Path
) -> None:
    cli(*at(kfp_server), "--cron", NIGHTLY, "--file", other_pipeline, "-p", "destination=gs://b/r")
    run = kfp_server.start(kfp_server.recurring[0], "2026-11-25T03:00:00Z")
    assert run["inputs"] == {"look": {"destination": "gs://b/r"}}


@pytest.fixture
def other_pipeline(tmp_path: Path) -> Path:
    """A compiled pipeline that reads no data."""
    from kfp import compiler, dsl

    @dsl.component(base_image="mnist-pipeline-push")
    def look(destination: str) -> None:
        pass

    @dsl.pipeline
    def other(destination: str = "") -> None:
        look(destination=destination).set_caching_options(False)

    compiler.Compiler().compile(other, str(tmp_path / "other.yaml"))
    return tmp_path / "other.yaml"


def test_a_schedule_replaces_the_one_of_its_name(kfp_server: FakeKfp, cli: Cli) -> None:
    kfp_server.page_size = 1
    cli(*at(kfp_server), "--cron", NIGHTLY, "--name", "other")
    cli(*at(kfp_server), "--cron", NIGHTLY, "--name", "nightly")
    result = cli(*at(kfp_server), "--cron", "0 0 4 * * *", "--name", "nightly")
    assert "replaces the one before" in result.output
    assert listed(kfp_server) == {("other", NIGHTLY), ("nightly", "0 0 4 * * *")}


@pytest.mark.parametrize("old", [False, True])
def test_a_replacement_lets_the_running_one_end(kfp_server: FakeKfp, cli: Cli, old: bool) -> None:
    kfp_server.old = old
    cli(*at(kfp_server), "--cron", NIGHTLY, "--name", "nightly")
    run = kfp_server.start(kfp_server.recurring[0], "2026-11-25T03:00:00Z")
    result = cli(*at(kfp_server), "--cron", "0 0 4 * * *", "--name", "nightly")
    assert run["run_id"] in result.output and "paused" in result.output
    assert "killed" not in run
    assert [each["status"] for each in kfp_server.recurring] == ["DISABLED", "ENABLED"]

    cli("schedule", "pause", "nightly", "--host", kfp_server.url)
    cli("schedule", "resume", "nightly", "--host", kfp_server.url)
    assert [each["status"] for each in kfp_server.recurring] == ["DISABLED", "ENABLED"]

    run["state"] = "SUCCEEDED"
    cli(*at(kfp_server), "--cron", "0 0 5 * * *", "--name", "nightly")
    assert listed(kfp_server) == {("nightly", "0 0 5 * * *")}


def test_a_refused_schedule_leaves_the_one_of_its_name(kfp_server: FakeKfp, cli: Cli) -> None:
    cli(*at(kfp_server), "--cron", NIGHTLY)
    cli(*at(kfp_server), "--cron", "0 3 * * *", expect=2)
    kfp_server.refuse = 400, "Invalid input error"
    cli(*at(kfp_server), "--cron", "0 0 4 * * *", expect=1)
    assert listed(kfp_server) == {("mnist-schedule", NIGHTLY)}


def test_a_name_from_the_server_steers_no_terminal(kfp_server: FakeKfp, cli: Cli) -> None:
    cli(*at(kfp_server), "--cron", NIGHTLY, "--name", "night\x1b[2Jly")
    listed = cli("schedule", "list", "--host", kfp_server.url).output
    assert listed == f"night [2Jly  enabled  {NIGHTLY}\n"


@pytest.mark.parametrize("behind", [False, True])
def test_schedules_are_listed_paused_resumed_and_deleted(
    kfp_server: FakeKfp, cli: Cli, behind: bool
) -> None:
    host = ("--host", kfp_server.url)

    def run(*words: str) -> str:
        return cli("schedule", *(() if behind else host), *words, *(host if behind else ())).output

    cli(*at(kfp_server), "--cron", NIGHTLY, "--name", "nightly")
    assert run("list") == f"nightly  enabled  {NIGHTLY}\n"
    run("pause", "nightly")
    assert run("list") == f"nightly  disabled  {NIGHTLY}\n"
    run("resume", "nightly")
    assert run("list") == f"nightly  enabled  {NIGHTLY}\n"
    run("delete", "nightly")
    assert run("list") == ""


@pytest.mark.parametrize("behind", [False, True])
def test_an_option_wins_over_the_environment_wherever_it_stands(
    kfp_server: FakeKfp, cli: Cli, monkeypatch: pytest.MonkeyPatch, behind: bool
) -> None:
    cli(*at(kfp_server), "--cron", NIGHTLY, "--name", "nightly")
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://127.0.0.1:1")
    host = ("--host", kfp_server.url)
    words = ("list", *host) if behind else (*host, "list")
    assert "nightly" in cli("schedule", *words).output
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", kfp_server.url)
    assert "nightly" in cli("schedule", "list").output


def test_a_schedule_with_a_running_run_is_not_deleted(kfp_server: FakeKfp, cli: Cli) -> None:
    kfp_server.page_size = 1
    cli(*at(kfp_server), "--cron", NIGHTLY, "--name", "nightly")
    (schedule,) = kfp_server.recurring
    kfp_server.start(schedule, "2026-11-24T03:00:00Z")["state"] = "SUCCEEDED"
    run = kfp_server.start(schedule, "2026-11-25T03:00:00Z")
    error = cli("schedule", "delete", "nightly", "--host", kfp_server.url, expect=1).stderr
    assert "run-1" in error and "run-0" not in error and "--wait" in error
    assert kfp_server.recurring == [schedule] and schedule["status"] == "ENABLED"
    assert "killed" not in run


@pytest.mark.parametrize(("old", "killed"), [(False, False), (True, True)])
def test_it_is_by_force(kfp_server: FakeKfp, cli: Cli, old: bool, killed: bool) -> None:
    kfp_server.old = old
    cli(*at(kfp_server), "--cron", NIGHTLY, "--name", "nightly")
    run = kfp_server.start(kfp_server.recurring[0], "2026-11-25T03:00:00Z")
    cli("schedule", "delete", "nightly", "--force", "--host", kfp_server.url)
    assert not kfp_server.recurring and run["killed"] is killed


def test_it_is_once_the_run_is_over(kfp_server: FakeKfp, cli: Cli) -> None:
    cli(*at(kfp_server), "--cron", NIGHTLY, "--name", "nightly")
    (schedule,) = kfp_server.recurring
    run = kfp_server.start(schedule, "2026-11-25T03:00:00Z")

    def end() -> None:
        give_up = time.monotonic() + 60
        while schedule["status"] != "DISABLED" and time.monotonic() < give_up:
            time.sleep(0.01)
        run["state"] = "FAILED"

    ending = threading.Thread(target=end)
    ending.start()
    cli("schedule", "delete", "nightly", "--wait", "--poll", "0.01", "--host", kfp_server.url)
    ending.join()
    assert schedule["status"] == "DISABLED"  # else another might have started meanwhile
    assert not kfp_server.recurring and "killed" not in run


def test_a_schedule_that_is_not_there_is_one_line(kfp_server: FakeKfp, cli: Cli) -> None:
    error = cli("schedule", "pause", "nightly", "--host", kfp_server.url, expect=1).stderr
    assert "no schedule 'nightly'" in error


def test_a_dry_run_shows_the_times_and_sends_nothing(kfp_server: FakeKfp, cli: Cli) -> None:
    shown = json.loads(cli(*at(kfp_server), "--cron", NIGHTLY, "--dry-run").output)
    assert len(shown["next"]) == 5
    assert shown["next"][0].removesuffix("+00:00") + "Z" in shown["until"]
    assert not kfp_server.recurring


def test_what_a_pod_publishes_to_itself_is_refused(kfp_server: FakeKfp, cli: Cli) -> None:
    error = cli("schedule", "--host", kfp_server.url, "--cron", NIGHTLY, expect=2).stderr
    assert "gone with it" in error and "gs://" in error
    assert not kfp_server.recurring
