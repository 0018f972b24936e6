"""What the tests say of tests: what would let skipped ones run, and that Ctrl-C reaches them."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SKIPPED = """
import pytest
from tests.services import unavailable

@pytest.mark.parametrize("number", range(3))
def test_a_page(number):
    unavailable("no browser", "browser")

def test_a_bucket():
    unavailable("no storage server", "fake-gcs-server")

def test_elsewhere():
    pytest.skip("not on this system")
"""


QUICKLY = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # without the seconds that plugins take


def run_tests(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    plugins = ("-p", "no:cacheprovider", "-p", "xdist", "-p", "tests.services")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "CI": "", **QUICKLY, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def skipped(tmp_path: Path) -> Path:
    path = tmp_path / "test_skipped.py"
    path.write_text(SKIPPED)
    return path


@pytest.mark.parametrize("processes", [(), ("-n", "1")])
def test_the_last_lines_say_what_would_let_skipped_tests_run(
    skipped: Path, processes: tuple[str, ...]
) -> None:
    told = run_tests(*processes, skipped).stdout
    assert "4 of the skipped tests run after make browser (3), make fake-gcs-server (1)\n" in told
    assert "5 skipped" in told


def test_in_ci_what_is_not_there_is_a_failure(skipped: Path) -> None:
    told = run_tests(skipped, CI="true").stdout
    assert "4 failed, 1 skipped" in told


def test_every_target_that_a_test_names_is_there() -> None:
    named = r'(?:unavailable|program)\([^()]*, "([a-z-]+)"\)'
    files = (ROOT / "tests").rglob("*.py")
    targets = {target for file in files for target in re.findall(named, file.read_text("utf-8"))}
    assert len(targets) > 4
    assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


def test_ctrl_c_reaches_what_a_test_starts() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait() == -signal.SIGINT


def test_ctrl_c_reaches_it_also_where_the_tests_run_in_the_background() -> None:
    # As nohup, or a script that goes on, starts them: with the signal ignored.
    command = [sys.executable, "-m", "pytest", __file__, "-k", "reaches_what"]
    script = 'trap "" INT; exec "$@"'
    process = subprocess.run(
        ["sh", "-c", script, "sh", *command],
        cwd=ROOT,
        env={**os.environ, **QUICKLY},
        check=False,
    )
    assert process.returncode == 0
