"""The test of an installation, against one in miniature: it finds what holds and what does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.cluster.__main__ import main
from tests.cluster.simulated import Simulated, simulate
from tests.pipeline.test_cluster import digests  # noqa: F401 - a fixture


@pytest.fixture
def server() -> Iterator[Simulated]:
    """An installation."""
    with simulate() as found:
        yield found


def test_cluster(server: Simulated, *arguments: object) -> Result:
    """Runs ``make test-cluster`` there."""
    options = ["--host", server.url, "--poll", "0.01", "--patience", "20"]
    return CliRunner().invoke(main, [*options, *map(str, arguments)], env={"COLUMNS": "300"})


test_cluster.__test__ = False  # type: ignore[attr-defined]


def states(result: Result) -> list[str]:
    """The first column of the table."""
    found = [line.split("│")[1].strip() for line in result.stdout.splitlines() if "│" in line]
    return [state for state in found if state]


def test_what_holds_is_told_and_nothing_is_left(server: Simulated, digests: Path) -> None:  # noqa: F811
    result = test_cluster(server, "--images", digests)
    assert result.exit_code == 0, result.output
    assert states(result) == ["holds"] * 8 + ["not tried", "holds"]
    for seen in (
        "Run succeeded: published",
        "the model is not blessed",
        "was not repeated",
        "Run failed: train: the training split has",
        "Run terminated during train",
        "until 2",
        "may be killed with it",
        "there is no volume",
    ):
        assert seen in result.stdout
    assert not server.runs and not server.recurring and not server.experiments


def test_without_digests_caching_is_not_tried(server: Simulated) -> None:
    result = test_cluster(server)
    assert result.exit_code == 0, result.output
    assert "images are not named by digest" in result.stdout


def test_what_does_not_hold_says_what_was_seen(server: Simulated) -> None:
    server.mute = True
    result = test_cluster(server)
    assert result.exit_code == 1
    assert states(result).count("does not hold") == 3
    assert "said nothing" in result.stdout
    assert not server.runs and not server.recurring and not server.experiments


def test_no_server_is_one_line() -> None:
    result = CliRunner().invoke(main, ["--host", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "cannot be reached" in result.stderr and result.stderr.count("\n") == 1
