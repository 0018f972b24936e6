"""Submitting to a server over HTTP."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from components.config import RECIPES
from components.shared.outcome import Outcome
from components.summary.workflow import pods_of
from pipeline.remote import waiting
from tests.conftest import ROOT
from tests.pipeline.conftest import Cli
from tests.pipeline.remote.fake_kfp import FakeKfp
from tests.workflows import with_failure, workflow

REGISTRY = ("-p", "destination=gs://bucket/registry")


def test_a_run_is_submitted_with_typed_parameters(kfp_server: FakeKfp, cli: Cli) -> None:
    result = cli(
        *("submit", "--host", kfp_server.url, "--experiment", "digits", "--name", "try"),
        *("-p", "max_steps=20", "-p", "learning-rate=0.1", "-p", "xla=false"),
        *("-p", "destination=gs://bucket/registry"),
        *("--service-account", "trainer"),
    )
    (run,) = kfp_server.runs
    assert run["runtime_config"]["parameters"] == {
        "max_steps": 20,
        "learning_rate": 0.1,
        "xla": False,
        "destination": "gs://bucket/registry",
    }
    assert run["display_name"] == "try" and run["service_account"] == "trainer"
    assert [found["display_name"] for found in kfp_server.experiments] == ["digits"]
    assert result.stdout == f"Run: {kfp_server.url}/#/runs/details/V2beta1Run-0\n"


def test_an_experiment_that_is_there_is_used(kfp_server: FakeKfp, cli: Cli) -> None:
    cli("submit", "--host", kfp_server.url)
    cli("submit", "--host", kfp_server.url)
    assert len(kfp_server.experiments) == 1
    assert len({run["experiment_id"] for run in kfp_server.runs}) == 1


@pytest.mark.parametrize("command", [("submit",), ("schedule", "--cron", "0 0 3 * * *")])
def test_an_experiment_that_another_creates_at_this_moment_is_used(
    kfp_server: FakeKfp, cli: Cli, command: tuple[str, ...]
) -> None:
    kfp_server.raced = True
    cli(*command, "--host", kfp_server.url, *REGISTRY)
    (created,) = kfp_server.runs + kfp_server.recurring
    assert created["experiment_id"] == kfp_server.experiments[0]["experiment_id"]


def test_waiting_shows_each_change_once_and_ends_well(kfp_server: FakeKfp, cli: Cli) -> None:
    kfp_server.states = [
        {"ingest": "RUNNING"},
        {"ingest": "SUCCEEDED", "train": "RUNNING"},
        {"ingest": "SUCCEEDED", "train": "RUNNING"},
        {"ingest": "SUCCEEDED", "train": "SUCCEEDED"},
    ]
    result = cli("submit", "--host", kfp_server.url, "--wait", "--poll", "0.01")
    assert result.stdout.splitlines()[1:-1] == [
        "  ingest | running",
        "  ingest | succeeded",
        "   train | running",
        "   train | succeeded",
    ]


def test_waiting_for_a_run_that_fails_is_exit_code_1(kfp_server: FakeKfp, cli: Cli) -> None:
    kfp_server.states = [{"ingest": "SUCCEEDED", "train": "FAILED"}]
    kfp_server.outcome = "FAILED"
    result = cli("submit", "--host", kfp_server.url, "--wait", "--poll", "0.01", expect=1)
    assert result.stdout.splitlines()[-1].startswith("Run failed: train: ")


WAITING = ("--wait", "--poll", "0.01", *REGISTRY)


@pytest.mark.parametrize("web", [False, True])
def test_a_failure_is_shown_with_its_reason_and_the_end_of_its_log(
    kfp_server: FakeKfp, cli: Cli, web: bool
) -> None:
    kfp_server.web = web
    kfp_server.states = [{"ingest": "SUCCEEDED", "train": "FAILED"}]
    kfp_server.outcome = "FAILED"
    failure = Outcome(step="train", result="failed", message="the loss is nan at step 100")
    kfp_server.workflow = with_failure(workflow("retried"), failure)
    (*_, last) = pods_of(workflow("retried"), "train")
    own = ["Step 100: loss = nan", "error: the loss is nan at step 100"]
    launcher = [f"{letter}1125 00:51:03.481126      21 launcher_v2.go:151] …" for letter in "IWEF"]
    kfp_server.logs = {last: "\n".join([*own, *launcher * 200]) + "\n"}
    result = cli("submit", "--host", kfp_server.url, *WAITING, expect=1)
    assert result.stdout.splitlines()[-3:] == [
        *(f"   train | {line}" for line in own),
        "Run failed: train: the loss is nan at step 100",
    ]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("oom", "Run failed: train: OOMKilled (exit code 1)"),
        ("timed-out", "Run timed out: train took longer than it may"),
        ("terminated", "Run terminated during train"),
        (
            "root-driver-failed",
            "Run failed: root-driver: Error (exit code 64): failed to put file: The specified "
            "bucket does not exist",
        ),
    ],
)
def test_a_failure_without_a_log_has_the_clusters_reason(
    kfp_server: FakeKfp, cli: Cli, name: str, sentence: str
) -> None:
    kfp_server.outcome = "FAILED"
    kfp_server.workflow = workflow(name)
    result = cli("submit", "--host", kfp_server.url, *WAITING, expect=1)
    assert result.stdout.splitlines()[-1] == sentence


def test_what_came_of_a_success_is_what_the_summary_said(kfp_server: FakeKfp, cli: Cli) -> None:
    kfp_server.workflow = workflow("not-blessed")
    sentence = (
        "Run succeeded, but the model is not blessed and not published: "
        "test precision@1 0.9030 is below 0.978"
    )
    said = (
        f"Run of another kind\n{sentence} (run V2beta1Run-0)\n"
        + "I1125 launcher_v2.go:151] …\n" * 500
    )
    kfp_server.logs = dict.fromkeys(pods_of(workflow("not-blessed"), "summary"), said)
    result = cli("submit", "--host", kfp_server.url, *WAITING)
    assert result.stdout.splitlines()[-1] == sentence


def test_a_success_whose_summary_is_gone_says_where_to_look(kfp_server: FakeKfp, cli: Cli) -> None:
    kfp_server.workflow = workflow("published")
    result = cli("submit", "--host", kfp_server.url, *WAITING)
    assert result.stdout.splitlines()[-1] == (
        "Run succeeded: published, where is not known, see the log of push"
    )


def test_a_canceled_run_is_no_success(kfp_server: FakeKfp, cli: Cli) -> None:
    kfp_server.outcome = "CANCELED"
    cli("submit", "--host", kfp_server.url, "--wait", expect=1)


def test_waiting_outlives_a_server_that_is_away_for_a_moment(kfp_server: FakeKfp, cli: Cli) -> None:
    kfp_server.states = [{"ingest": "RUNNING"}] * 12
    kfp_server.fail_looks = set(range(2, 10))
    cli("submit", "--host", kfp_server.url, "--wait", "--poll", "0.001")


def test_a_server_may_be_away_for_minutes() -> None:
    assert waiting.PATIENCE >= 600 and waiting.LONGEST_PAUSE <= 60


def test_waiting_ends_when_the_server_stays_away(
    kfp_server: FakeKfp, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE", 0.3)
    kfp_server.fail_looks = set(range(1, 100))
    result = cli("submit", "--host", kfp_server.url, "--wait", "--poll", "0.01", expect=1)
    assert "HTTP 503" in result.stderr and "goes on" in result.stderr


def test_a_dry_run_sends_nothing(kfp_server: FakeKfp, cli: Cli) -> None:
    arguments = ("-p", "max_steps=20", "-p", "destination=gs://bucket/registry", "--dry-run")
    shown = json.loads(cli("submit", "--host", kfp_server.url, *arguments).output)
    assert shown["parameters"] == {"max_steps": 20, "destination": "gs://bucket/registry"}
    assert shown["pods"]["train"] == "cpu 4, memory 8Gi"
    assert not kfp_server.runs and not kfp_server.experiments


def test_a_recipe_is_sent_as_what_it_sets_and_a_parameter_beside_it_wins(cli: Cli) -> None:
    arguments = ("-p", "seed=3", "-p", "recipe=best", "-p", "elastic=2", "--dry-run")
    shown = json.loads(cli("submit", "--host", "h", *arguments).stdout)["parameters"]
    del shown["destination"]
    assert shown == {**RECIPES["best"], "seed": 3, "elastic": 2.0}


@pytest.mark.parametrize(
    ("parameter", "problem"),
    [
        ("recipe=soup", "recipe=soup, expected one of tutorial, best"),
        ("steps=20", "no parameter steps"),
        ("max_steps", "expected name=value"),
        ("max_steps=0", "should be greater than 0"),
        ("max_steps=many", "valid integer"),
        ("destination=registry", "gone with it"),
        ("destination=/workspace/registry", "gone with it"),
        ("destination=ftp://server/registry", "expected a directory, or an address with gs://"),
        ("source=ftp://server/digits", "expected a path, or an address with"),
        ("source=gs://bucket/a, ftp://server/b", "expected a path, or an address with"),
        ("source=fake://many", "a number of records"),
    ],
)
def test_a_wrong_parameter_is_exit_code_2(
    kfp_server: FakeKfp, cli: Cli, parameter: str, problem: str
) -> None:
    result = cli("submit", "--host", kfp_server.url, "-p", parameter, expect=2)
    assert problem in result.stderr
    assert not kfp_server.runs


@pytest.mark.parametrize(
    ("status", "message", "advice"),
    [
        (401, "Unauthenticated", "--token"),
        (403, "User 'a' is not authorized", "--namespace"),
        (404, "Not Found", "--host"),
        (500, "Internal error", "HTTP 500"),
    ],
)
def test_a_refusal_is_one_line_with_advice(
    kfp_server: FakeKfp, cli: Cli, status: int, message: str, advice: str
) -> None:
    kfp_server.refuse = status, message
    error = cli("submit", "--host", kfp_server.url, *REGISTRY, expect=1).stderr
    assert error.startswith(f"error: {kfp_server.url}: HTTP {status}")
    assert message in error and advice in error and error.count("\n") == 1


def test_the_token_is_sent(kfp_server: FakeKfp, cli: Cli) -> None:
    kfp_server.token = "let-me-in"
    assert "--token" in cli("submit", "--host", kfp_server.url, expect=1).stderr
    cli("submit", "--host", kfp_server.url, "--token", "let-me-in")


def test_the_token_of_a_file_goes_before_another(
    kfp_server: FakeKfp, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("of-now")
    kfp_server.token = "of-now"
    tokens = ("--token", "of-an-hour-ago", "--token-file", tmp_path / "token")
    cli("submit", "--host", kfp_server.url, *tokens)
    assert len(kfp_server.runs) == 1


def test_a_token_that_is_replaced_while_waiting_is_read_anew(
    kfp_server: FakeKfp, cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("of-an-hour-ago")
    kfp_server.token = "of-an-hour-ago"
    kfp_server.states = [{"ingest": "RUNNING"}] * 3 + [{"ingest": "SUCCEEDED"}]

    def replace(look: int) -> None:
        if look == 2:  # as a cluster does with a projected token, while the run goes on
            kfp_server.token = "of-now"
            file.write_text("of-now")

    kfp_server.on_look = replace
    options = ("--host", kfp_server.url, "--wait", "--poll", 0.05, "--token-file", file)
    assert "Run succeeded" in cli("submit", *options).output
    assert kfp_server.looks > 2
    assert len(kfp_server.runs) == 1


def test_a_server_that_is_too_old_is_named(kfp_server: FakeKfp, cli: Cli) -> None:
    kfp_server.api = "/apis/v1beta1"
    error = cli("submit", "--host", kfp_server.url, expect=1).stderr
    assert "HTTP 404" in error and "2.0 or later" in error


def test_a_server_that_is_not_there_is_one_line(cli: Cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"  # bound, but nobody listens
        error = cli("submit", "--host", host, *REGISTRY, expect=1).stderr
    assert "cannot be reached" in error and error.count("\n") == 1


def test_an_address_needs_no_http_before_it(kfp_server: FakeKfp, cli: Cli) -> None:
    cli("submit", "--host", kfp_server.url.removeprefix("http://"), *REGISTRY)
    assert len(kfp_server.runs) == 1


def test_the_address_may_come_from_the_environment(
    kfp_server: FakeKfp, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "KF_PIPELINES_ENDPOINT" in cli("submit", "--dry-run", expect=2).stderr
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", kfp_server.url)
    cli("submit", *REGISTRY)
    assert len(kfp_server.runs) == 1


@pytest.mark.parametrize("target", ["submit", "schedule"])
def test_make_takes_the_address_from_the_environment_too(target: str) -> None:
    shown = subprocess.check_output(
        ["make", "--dry-run", target], cwd=ROOT, text=True, stderr=subprocess.STDOUT
    )
    assert f"pipeline {target}" in shown and "--host" not in shown


def test_a_first_try_needs_no_registry(kfp_server: FakeKfp, cli: Cli) -> None:
    result = cli("submit", "--host", kfp_server.url)
    (run,) = kfp_server.runs
    assert run["runtime_config"]["parameters"] == {"destination": "/tmp/registry"}
    assert "gone with it" in result.stderr and result.stderr.count("\n") == 1


def test_a_registry_may_lie_on_the_volume(kfp_server: FakeKfp, cli: Cli, tmp_path: Path) -> None:
    package = tmp_path / "pipeline.yaml"
    cli("compile", "--output", package, "--pvc", "shared", "--pvc-path", "/data")
    arguments = ("submit", "--host", kfp_server.url, "--file", package, "-p")
    cli(*arguments, "destination=/data/registry")
    assert "/data/registry" in cli(*arguments, "destination=/elsewhere", expect=2).stderr


@pytest.mark.parametrize("subcommand", ["create", "submit"])
def test_kfps_own_command_line_takes_the_documented_flags(
    kfp_server: FakeKfp, subcommand: str
) -> None:
    subprocess.run(
        [
            *(Path(sys.executable).with_name("kfp"), "--endpoint", kfp_server.url, "run"),
            *(subcommand, "-e", "mnist", "-f", "pipeline.yaml", "max_steps=2000"),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (run,) = kfp_server.runs
    assert run["runtime_config"]["parameters"] == {"max_steps": 2000}


def test_a_file_that_is_no_pipeline_is_one_line(kfp_server: FakeKfp, cli: Cli) -> None:
    error = cli("submit", "--host", kfp_server.url, "--file", "Makefile", expect=1).stderr
    assert "Makefile: not a compiled pipeline" in error


@pytest.mark.parametrize("command", [["submit"], ["schedule", "--cron", "0 0 3 * * *"]])
def test_a_webhook_that_all_can_see_is_a_warning(
    kfp_server: FakeKfp, cli: Cli, command: list[str]
) -> None:
    asked = (*command, "--host", kfp_server.url, *REGISTRY, "--dry-run")
    assert not cli(*asked).stderr
    warning = cli(*asked, "-p", "webhook=https://hooks.example/hunter2").stderr
    assert "--webhook-secret" in warning and "hunter2" not in warning
