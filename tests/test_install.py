"""The set-up: which Python it takes, what it says where there is none, and pip without uv."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

TOOLS = ("bash", "cat", "dirname", "env", "grep")


def install(lock: str, venv: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the set-up into an environment."""
    return subprocess.run(
        [ROOT / "install.sh", lock],
        env={**os.environ, "VENV": str(venv), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A directory of programs to be the PATH, without any Python."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for tool in TOOLS:
        (directory / tool).symlink_to(str(shutil.which(tool)))
    return directory


def add_python(directory: Path, name: str, version: str, fits: bool, venv: bool) -> None:
    """Adds what answers the set-up's questions as such a Python would."""
    script = directory / name
    script.write_text(
        "#!/usr/bin/env bash\n"
        f'case "$*" in *version_info*) exit {int(not fits)} ;; *ensurepip*) exit {int(not venv)} ;;'
        f" --version) echo Python {version} ;; *) exit 1 ;; esac\n"
    )
    script.chmod(0o755)


@pytest.mark.parametrize(
    ("name", "version", "fits", "venv", "said"),
    [
        ("python3", "3.10.2", False, False, "no Python 3.11 to 3.13 found (Python 3.10.2"),
        ("python3", "3.14.0", False, True, "TensorFlow 2.21 has none for 3.14"),
        ("python3.12", "3.12.1", True, False, "apt install python3-venv"),
    ],
)
def test_where_no_python_will_do_one_line_says_what_to_do(
    bare_path: Path, tmp_path: Path, name: str, version: str, fits: bool, venv: bool, said: str
) -> None:
    add_python(bare_path, name, version, fits, venv)
    process = install("requirements.lock", tmp_path / "venv", PATH=str(bare_path))
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1].startswith("error: ")
    assert said in process.stderr
    assert not (tmp_path / "venv").exists()


def test_a_python_that_was_asked_for_by_name_is_taken_or_refused(tmp_path: Path) -> None:
    process = install("requirements.lock", tmp_path / "venv", BASE_PYTHON="/bin/false")
    assert process.returncode == 1
    assert "error: /bin/false: no Python 3.11 to 3.13" in process.stderr


@pytest.mark.install
def test_pip_alone_installs_what_runs_whatever_it_is_set_up_for(tmp_path: Path) -> None:
    venv = tmp_path / "an environment"
    process = install("requirements.lock", venv, INSTALLER="pip", PIP_USER="1")
    assert process.returncode == 0, process.stderr
    python = str(venv / "bin" / "python")
    subprocess.run([python, "-m", "pip", "check"], check=True)
    subprocess.run([python, "-m", "pipeline", "--help"], cwd=ROOT, check=True)
    assert not (venv / "bin" / "uv").exists()
