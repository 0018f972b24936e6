"""Waiting for a run whose pods do not start."""

import pytest

from pipeline.remote import waiting
from tests.pipeline.conftest import Cli
from tests.pipeline.remote.fake_kfp import FakeKfp
from tests.workflows import workflow

WAITING = ("submit", "--wait", "--poll", "0.01", "-p", "destination=gs://bucket/registry")
NO_ROOM = "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks for pods at every look at the run, and shows what they wait for at once."""
    monkeypatch.setattr(waiting, "PENDING_LOOK", 0.0)
    monkeypatch.setattr(waiting, "PENDING_SHOWN", 0.0)


@pytest.fixture
def pending(kfp_server: FakeKfp) -> FakeKfp:
    """A server with a run whose first pod waits for its image, until it is there."""
    kfp_server.states = [{"ingest": "RUNNING"}] * 4 + [{"ingest": "SUCCEEDED"}]
    kfp_server.workflow = workflow("image-pull-pending")
    return kfp_server


def say(server: FakeKfp, message: str) -> None:
    """Has Kubernetes say something else of the pods that wait."""
    for node in server.workflow["status"]["nodes"].values():
        if node["phase"] == "Pending":
            node["message"] = message


def test_what_a_pod_waits_for_is_shown_once(pending: FakeKfp, cli: Cli) -> None:
    lines = cli(*WAITING, "--host", pending.url).stdout.splitlines()
    (line,) = [line for line in lines if "waits" in line]
    assert line.startswith("  ingest | its pod waits: ImagePullBackOff: Back-off pulling image ")


def test_a_pod_that_finds_no_room_is_shown_with_what_it_asks_for(
    pending: FakeKfp, cli: Cli
) -> None:
    say(pending, NO_ROOM)
    lines = cli(*WAITING, "--host", pending.url).stdout.splitlines()
    at = lines.index(f"  ingest | its pod waits: {NO_ROOM}")
    assert lines[at + 1] == "  ingest | it asks a node for cpu 1, memory 4Gi; see compile -h"


def test_a_pod_that_starts_in_time_is_not_mentioned(
    pending: FakeKfp, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PENDING_SHOWN", 3_600.0)
    assert "waits" not in cli(*WAITING, "--host", pending.url).stdout


def test_waiting_ends_for_a_pod_that_never_starts(pending: FakeKfp, cli: Cli) -> None:
    pending.states = [{"ingest": "RUNNING"}] * 10_000
    say(pending, NO_ROOM)
    arguments = (*WAITING, "--host", pending.url, "--pending-timeout", "0.05")
    error = cli(*arguments, expect=1).stderr
    assert (
        error.startswith("error: ingest: its pod has waited for ") and "Insufficient cpu" in error
    )
    assert "goes on" in error and error.count("\n") == 1 and len(error) < 200


def test_a_server_without_workflows_is_waited_for_as_before(pending: FakeKfp, cli: Cli) -> None:
    pending.workflow = {}
    cli(*WAITING, "--host", pending.url, "--pending-timeout", "0.01")
