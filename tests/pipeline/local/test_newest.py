"""``python -m pipeline runs --newest-within``: silence is noticed, here and on a cluster."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.local.record import RunRecord, RunResult
from pipeline.pipelines import MNIST
from tests.pipeline.conftest import Cli
from tests.pipeline.remote.fake_kfp import FakeKfp

ASKED = ("runs", "--newest-within")


def ran(runs: Path, hours_ago: int, outcome: RunResult, pipeline: str = MNIST.name) -> str:
    """Leaves a run, and returns its name."""
    run = RunRecord.begin(runs, MNIST, {})
    began = datetime.now(UTC) - timedelta(hours=hours_ago)
    ended = run.model_copy(update={"started": began, "outcome": outcome, "pipeline": pipeline})
    ended.write(runs / run.name)
    return run.name


@pytest.mark.parametrize("outcome", ["quiet", "alarm", "nothing new"])
def test_a_run_of_late_that_did_its_work_is_well(
    cli: Cli, tmp_path: Path, outcome: RunResult
) -> None:
    name = ran(tmp_path, 3, outcome)
    ran(tmp_path, 1, "failed")
    line = cli(*ASKED, "26h", "--runs", tmp_path).stdout
    assert line.startswith(f"{name}, began ") and line.endswith(f": {outcome}\n")


@pytest.mark.parametrize(
    ("hours_ago", "outcome"), [(27, "quiet"), (1, "failed"), (1, "unfinished"), (1, "interrupted")]
)
def test_an_old_run_or_one_that_failed_is_not(
    cli: Cli, tmp_path: Path, hours_ago: int, outcome: RunResult
) -> None:
    name = ran(tmp_path, hours_ago, outcome)
    failed = cli(*ASKED, "26h", "--runs", tmp_path, expect=1)
    assert failed.stdout == ""
    (line,) = failed.stderr.splitlines()
    assert line.startswith(
        f"error: {tmp_path}: no run of {MNIST.name} that did its work began within "
    )
    assert f"26 h; the last: {name}, began " in line and line.endswith(f": {outcome}")


def test_no_run_at_all_and_one_of_the_other_pipeline_is_silence(cli: Cli, tmp_path: Path) -> None:
    ran(tmp_path, 1, "quiet", pipeline="another")
    told = cli(*ASKED, "2d", "--runs", tmp_path, expect=1).stderr
    assert f"no run of {MNIST.name}" in told and told.endswith("within 48 h; the last: none\n")
    assert "the last: none" in cli(*ASKED, "26h", "--runs", tmp_path / "none", expect=1).stderr


@pytest.mark.parametrize("text", ["26", "0h", "-1h", "1w", "h", ""])
def test_a_time_is_a_number_with_its_unit(cli: Cli, text: str) -> None:
    assert "expected a time, as 90m, 26h or 2d" in cli(*ASKED, text, expect=2).stderr


def on_cluster(server: FakeKfp, minutes_ago: int, state: str, name: str) -> None:
    began = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    run = {"display_name": name, "state": state, "created_at": began.isoformat()}
    server.runs.append({**run, "run_id": name, "experiment_id": "of-mnist"})


def test_a_clusters_runs_are_looked_at_where_one_is_named(cli: Cli, kfp_server: FakeKfp) -> None:
    experiment = {"display_name": MNIST.name, "experiment_id": "of-mnist"}
    kfp_server.experiments.append(experiment)
    asked = (*ASKED, "90m", "--host", kfp_server.url)
    assert cli(*asked, expect=1).stderr.endswith("within 1.5 h; the last: none\n")
    on_cluster(kfp_server, 100, "SUCCEEDED", "old")
    on_cluster(kfp_server, 5, "FAILED", "broken")
    on_cluster(kfp_server, 2, "RUNNING", "on its way")
    told = cli(*asked, expect=1).stderr
    assert f"{kfp_server.url}: no run of {MNIST.name}" in told and "the last: on its way" in told
    on_cluster(kfp_server, 60, "SUCCEEDED", "of the night")
    assert cli(*asked).stdout.startswith("of the night, began ")


def test_a_cluster_that_has_never_seen_the_pipeline_is_a_line(
    cli: Cli, kfp_server: FakeKfp
) -> None:
    (line,) = cli(*ASKED, "26h", "--host", kfp_server.url, expect=1).stderr.splitlines()
    assert line.startswith(f"error: {kfp_server.url}: ") and MNIST.name in line
