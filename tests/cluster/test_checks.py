"""The test of an installation, against one in miniature: it finds what holds and what does not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from components.shared.errors import StepError
from tests.cluster import checks, installation
from tests.cluster.__main__ import main
from tests.cluster.installation import bounded
from tests.cluster.simulated import Simulated, simulate
from tests.conftest import ROOT
from tests.pipeline.test_cluster import digests  # noqa: F401 - a fixture
from tests.workflows import workflow

PROMISES = [name for check in checks.CHECKS for name in check.promises]  # type: ignore[attr-defined]
CLEAN = "nothing is left behind"
PATIENCE = "600"  # seconds, for machines under load

pytestmark = pytest.mark.usefixtures("fast_stack")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulated]:
    """An installation, where a schedule is due at every second."""
    monkeypatch.setattr(checks, "EVERY_MINUTE", "* * * * * *")
    monkeypatch.setattr(checks, "LATE", 0.5)
    with simulate() as found:
        yield found


@pytest.fixture
def kubectl(server: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubectl that asks that installation."""
    program = (
        f"#!{sys.executable}\nimport sys, urllib.parse, urllib.request\n"
        "query = urllib.parse.urlencode({'arguments': ' '.join(sys.argv[1:])})\n"
        f"print(urllib.request.urlopen('{server.url}/kubectl?' + query).read().decode())\n"
    )
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "kubectl").write_text(program)
    (tmp_path / "bin" / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")


@pytest.fixture
def everything(kubectl: None, digests: Path, tmp_path: Path) -> list[str]:  # noqa: F811
    """The options that leave nothing untried."""
    (tmp_path / "registry").mkdir()
    given = {"--images": digests, "--pvc": "data", "--destination": tmp_path / "registry"}
    return [str(word) for pair in {**given, "--listen": "127.0.0.1:0"}.items() for word in pair]


def test_cluster(server: Simulated, *arguments: str) -> Result:
    """Runs ``make test-cluster`` there."""
    options = ["--host", server.url, "--poll", "0.05", "--patience", PATIENCE]
    return CliRunner().invoke(main, [*options, *arguments], env={"COLUMNS": "300"})


test_cluster.__test__ = False  # type: ignore[attr-defined]


def rows(result: Result) -> dict[str, tuple[str, str]]:
    """State and what was seen, by promise, from the table at the end."""
    table = result.stdout[result.stdout.index("━━") :]
    cells = [[cell.strip() for cell in line.split("│")] for line in table.splitlines()]
    return {row[2]: (row[1], row[3]) for row in cells if len(row) == 5 and row[1]}


def not_holding(result: Result) -> set[str]:
    """The promises that were seen not to hold."""
    return {promise for promise, (state, _) in rows(result).items() if state == "does not hold"}


def nothing_is_left(server: Simulated) -> bool:
    """Whether the installation is as it was."""
    return not server.runs and not server.recurring and not server.experiments


@pytest.mark.installation
def test_everything_is_tried_where_all_is_there(
    server: Simulated, everything: list[str], tmp_path: Path
) -> None:
    record = tmp_path / "recorded"
    result = test_cluster(server, *everything, "--record", str(record))
    assert result.exit_code == 0, result.output
    written = {path.stem: json.loads(path.read_text()) for path in record.glob("2.17/*.json")}
    assert written.keys() == set(installation.RECORDED.values())
    for name in ("published", "quiet", "alarm", "nothing-new", "not-blessed"):
        assert written[name] == workflow(name)
    found = rows(result)
    assert {promise for promise in PROMISES if found[promise][0] == "holds"} == set(PROMISES)
    assert found[CLEAN][0] == "holds" and nothing_is_left(server)
    assert not list((tmp_path / "registry").iterdir())
    printed, _, _ = result.stdout.partition("━━")
    assert all(f"holds | {promise}: " in printed for promise in PROMISES), "as it comes"
    assert "Warning" not in result.output


@pytest.mark.installation
def test_what_is_missing_is_said_first_and_not_tried(
    server: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))  # where no kubectl is
    result = test_cluster(server)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("lacks | ") == 5 and "some ten minutes" in result.stdout
    found = rows(result)
    untried = {promise for promise, (state, _) in found.items() if state == "not tried"}
    assert untried == {
        "the same training is taken from the cache",
        "--ttl removes the pods of a run that is over",
        *checks.prediction.promises,  # type: ignore[attr-defined]
        *checks.resumption.promises,  # type: ignore[attr-defined]
    }
    assert "there is no kubectl here" in found["--ttl removes the pods of a run that is over"][1]
    assert nothing_is_left(server)


@pytest.mark.installation
@pytest.mark.parametrize(
    ("fault", "broken"),
    [
        ("uncached", {"the same training is taken from the cache"}),
        ("deaf", {promise for promise in PROMISES if "webhook" in promise}),
        ("other weights", {"and ends with the weights of an unbroken run"}),
        ("unpaused", {"a paused schedule starts no run"}),
        ("anew", {"a deleted training pod goes on from its checkpoint"}),
    ],
)
def test_a_fault_is_one_row_and_the_others_are_tried(
    server: Simulated, everything: list[str], fault: str, broken: set[str]
) -> None:
    server.faults.add(fault)
    result = test_cluster(server, *everything)
    assert result.exit_code == 1
    assert not_holding(result) == broken, result.output
    assert nothing_is_left(server)


@pytest.mark.installation
def test_a_webhook_that_no_pod_reaches_is_not_tried(server: Simulated) -> None:
    server.faults.add("deaf")
    result = test_cluster(server, "--patience", "20")
    assert rows(result)["the webhook is told of a success"][0] == "not tried"
    assert "--listen" in rows(result)["the webhook is told of a failure"][1]


@pytest.mark.installation
def test_a_run_that_fails_before_it_trains_is_not_waited_for(
    server: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(installation.LONG, "batch_size", checks.TOO_LARGE)
    start = time.monotonic()
    result = test_cluster(server)
    assert "before train runs" in rows(result)["a run that is terminated says where it was"][1]
    assert time.monotonic() - start < float(PATIENCE) and nothing_is_left(server)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_removes_what_was_started(server: Simulated, number: signal.Signals) -> None:
    command = [sys.executable, "-u", "-m", "tests.cluster", "--host", server.url, "--poll", "0.5"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with process:
        while len(server.runs) < 3:
            time.sleep(0.05)
        process.send_signal(number)
        output, _ = process.communicate(timeout=120)
    assert process.returncode in (128 + number, 1) and "Stopped: " in output
    assert "not tried" in output and CLEAN in output
    assert nothing_is_left(server)


def test_a_bucket_without_credentials_does_not_hold_the_test_up() -> None:
    with pytest.raises(StepError, match=r"^no answer within 0\.1 s; are there credentials"):
        bounded(lambda: time.sleep(60), 0.1)


def test_no_server_is_one_line() -> None:
    result = CliRunner().invoke(main, ["--host", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "cannot be reached" in result.stderr and result.stderr.count("\n") == 1
