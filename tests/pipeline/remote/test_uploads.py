"""Pipelines that a server keeps, over HTTP."""

import json
from pathlib import Path

import pytest

from components.shared.environment import COMMIT
from tests.pipeline.conftest import Cli
from tests.pipeline.remote.fake_kfp import FakeKfp

REGISTRY = ("-p", "destination=gs://bucket/registry")
NIGHTLY = ("schedule", "--cron", "0 0 3 * * *", *REGISTRY)
DUE = "2026-11-25T03:00:00Z"


@pytest.fixture(autouse=True)
def commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COMMIT, "1234567890" * 4)


@pytest.fixture
def other(tmp_path: Path, cli: Cli) -> Path:
    """The pipeline, compiled with another setting."""
    file = tmp_path / "other.yaml"
    cli("compile", "--output", file, "--ttl", "3600")
    return file


def upload(server: FakeKfp, cli: Cli, *arguments: object) -> str:
    """Uploads the pipeline; returns the name that is printed, and nothing else is."""
    return cli("upload", "--host", server.url, *arguments).stdout.rstrip("\n")


def test_a_version_is_named_for_the_commit_and_the_content(kfp_server: FakeKfp, cli: Cli) -> None:
    result = cli("upload", "--host", kfp_server.url)
    (pipeline,), (version,) = kfp_server.pipelines, kfp_server.versions
    assert pipeline["display_name"] == "mnist" and pipeline["description"]
    assert version["pipeline_id"] == pipeline["pipeline_id"]
    assert result.stdout == version["display_name"] + "\n"
    assert version["display_name"].startswith("1234567-")
    page = f"#/pipelines/details/{pipeline['pipeline_id']}/version/version-0"
    assert f"Uploaded: {kfp_server.url}/{page}\n" in result.stderr


def test_the_same_content_is_one_version(
    kfp_server: FakeKfp, cli: Cli, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = upload(kfp_server, cli)
    monkeypatch.setenv(COMMIT, "fedcba0987" * 4)
    assert upload(kfp_server, cli) == first
    second = upload(kfp_server, cli, "--file", other)
    assert second.startswith("fedcba0-")
    assert [version["display_name"] for version in kfp_server.versions] == [first, second]
    upload(kfp_server, cli, "--pipeline", "predict")
    assert [found["display_name"] for found in kfp_server.pipelines] == ["mnist", "predict"]


def test_two_uploads_at_once_are_one_version(kfp_server: FakeKfp, cli: Cli) -> None:
    kfp_server.raced = True
    assert upload(kfp_server, cli) == kfp_server.versions[0]["display_name"]
    assert len(kfp_server.pipelines) == len(kfp_server.versions) == 1


def test_a_run_is_of_the_version_that_is_named(kfp_server: FakeKfp, cli: Cli, other: Path) -> None:
    first = upload(kfp_server, cli)
    upload(kfp_server, cli, "--file", other)
    submit = ("submit", "--host", kfp_server.url, *REGISTRY, "-p", "max_steps=20")
    cli(*submit, "--uploaded")
    cli(*submit, "--uploaded", first)
    cli(*submit, "--uploaded", first[-3:], expect=1)  # the end is not the beginning
    references = [run["pipeline_version_reference"] for run in kfp_server.runs]
    assert [each["pipeline_version_id"] for each in references] == ["version-1", "version-0"]
    assert all("pipeline_spec" not in run for run in kfp_server.runs)
    assert kfp_server.runs[0]["runtime_config"]["parameters"]["max_steps"] == 20


def test_a_schedule_stays_with_its_version_or_follows_the_newest(
    kfp_server: FakeKfp, cli: Cli, other: Path
) -> None:
    first = upload(kfp_server, cli)
    cli(*NIGHTLY, "--host", kfp_server.url, "--name", "stays", "--uploaded", first)
    cli(*NIGHTLY, "--host", kfp_server.url, "--name", "follows", "--uploaded")
    upload(kfp_server, cli, "--file", other)
    stays, follows = (each["pipeline_version_reference"] for each in kfp_server.recurring)
    assert stays["pipeline_version_id"] == "version-0"
    assert not follows.get("pipeline_version_id")
    assert kfp_server._document(kfp_server.recurring[1]) == kfp_server.versions[1]["pipeline_spec"]


@pytest.mark.parametrize("version", [(), ("1234567",)])
def test_each_run_reads_data_up_to_its_own_time(
    kfp_server: FakeKfp, cli: Cli, version: tuple[str, ...]
) -> None:
    upload(kfp_server, cli)
    cli(*NIGHTLY, "--host", kfp_server.url, "--uploaded", *version)
    assert kfp_server.start(kfp_server.recurring[0], DUE)["inputs"]["ingest"]["until"] == DUE


def test_moving_a_schedule_keeps_its_running_run(
    kfp_server: FakeKfp, cli: Cli, other: Path
) -> None:
    upload(kfp_server, cli)
    cli(*NIGHTLY, "--host", kfp_server.url, "--uploaded")
    kfp_server.start(kfp_server.recurring[0], DUE)
    second = upload(kfp_server, cli, "--file", other)
    result = cli(*NIGHTLY, "--host", kfp_server.url, "--uploaded", second)
    assert "is paused, and stays until its run is over" in result.output
    assert [each["status"] for each in kfp_server.recurring] == ["DISABLED", "ENABLED"]
    assert "killed" not in kfp_server.runs[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--uploaded", "--file", "pipeline.yaml"], "--file and --uploaded: expected one of them"),
        (["--uploaded", "-p", "until=2026-11-01"], "reads up to the time of each run; leave it"),
        (["--uploaded", "7"], "0 versions '7' of mnist, expected one of 1234567-"),
        (["--uploaded", "--pipeline", "tune"], "no pipeline 'tune'; run 'python -m pipeline upl"),
        (["--uploaded", "-p", "max_steps=-1"], "-1"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_sent(
    kfp_server: FakeKfp, cli: Cli, arguments: list[str], says: str
) -> None:
    upload(kfp_server, cli)
    refused = 1 if "versions" in says or "no pipeline" in says else 2
    result = cli("submit", "--host", kfp_server.url, *REGISTRY, *arguments, expect=refused)
    assert says in " ".join(result.output.split())
    assert not kfp_server.runs and not kfp_server.experiments


def test_a_parameter_that_the_version_lacks_is_refused(kfp_server: FakeKfp, cli: Cli) -> None:
    upload(kfp_server, cli)
    spec = kfp_server.versions[0]["pipeline_spec"]
    del spec.get("pipeline_spec", spec)["root"]["inputDefinitions"]["parameters"]["max_steps"]
    given = ("--uploaded", *REGISTRY, "-p", "max_steps=20")
    result = cli("submit", "--host", kfp_server.url, *given, expect=2)
    assert "mnist, version 1234567-" in result.output
    assert "has no parameter max_steps" in " ".join(result.output.split())


def test_a_dry_run_says_which_version(kfp_server: FakeKfp, cli: Cli) -> None:
    upload(kfp_server, cli)
    given = ("submit", "--host", kfp_server.url, "--uploaded", "--dry-run", *REGISTRY)
    shown = json.loads(cli(*given).stdout)
    assert shown["version_id"] == "version-0" and "file" not in shown
    assert shown["pods"]["train"]
    assert not kfp_server.runs
