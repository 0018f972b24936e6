"""The set-up: which Python it takes, what it says where there is none, and pip without uv."""

import json
import os
import platform
import shutil
import subprocess
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docker.lock_files import packages, running
from tests.test_makefile import ENVIRONMENT

TOOLS = ("bash", "cat", "dirname", "env", "grep", "uname")


def install(venv: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the set-up into an environment."""
    return subprocess.run(
        [ROOT / "install.sh"],
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
    process = install(tmp_path / "venv", PATH=str(bare_path))
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1].startswith("error: ")
    assert said in process.stderr
    assert not (tmp_path / "venv").exists()


def test_a_python_that_was_asked_for_by_name_is_taken_or_refused(tmp_path: Path) -> None:
    process = install(tmp_path / "venv", BASE_PYTHON="/bin/false")
    assert process.returncode == 1
    assert "error: /bin/false: no Python 3.11 to 3.13" in process.stderr


def test_a_machine_without_packages_of_tensorflow_is_told_so(
    bare_path: Path, tmp_path: Path
) -> None:
    (bare_path / "uname").unlink()
    (bare_path / "uname").write_text("#!/usr/bin/env bash\necho Darwin x86_64\n")
    (bare_path / "uname").chmod(0o755)
    process = install(tmp_path / "venv", PATH=str(bare_path))
    assert process.returncode == 1
    assert process.stderr.startswith("error: Darwin x86_64: no packages of TensorFlow")


def test_compiling_modules_shows_that_it_goes_on(tmp_path: Path) -> None:
    """What compiles here, in place of Python, ends once the log has something after its line."""
    programs, log = tmp_path / "an environment" / "bin", tmp_path / "log"
    programs.mkdir(parents=True)
    waits = f"until tail -n 1 '{log}' | grep -q '^[.]'; do sleep 0.2; done"
    for name, does in (("python", f'case "$*" in *compileall*) {waits} ;; esac'), ("uv", "exit 0")):
        (programs / name).write_text(f"#!/usr/bin/env bash\n{does}\n")
        (programs / name).chmod(0o755)
    environment = {**os.environ, "VENV": str(programs.parent)}
    with log.open("w") as stderr:
        subprocess.run(
            [ROOT / "install.sh"], env=environment, stderr=stderr, timeout=120, check=True
        )
    assert log.read_text().splitlines()[-2].startswith("Compiling their modules")


@pytest.mark.install
@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_either_installs_what_runs_whatever_pip_is_set_up_for(
    tmp_path: Path, installer: str
) -> None:
    expected = packages(running(), platform.python_version())
    venv = tmp_path / "an environment"
    arguments = [f"VENV={venv}", f"INSTALLER={installer}", f"OUTPUT={tmp_path / 'pipeline.yaml'}"]
    process = subprocess.run(
        ["make", "compile", *arguments],
        cwd=ROOT,
        env={**ENVIRONMENT, "PIP_USER": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert f"packages into {venv}, with Python" in process.stderr
    assert (tmp_path / "pipeline.yaml").is_file()
    command = [str(venv / "bin" / "python"), "-m", "pip", "list", "--format", "json"]
    listed = json.loads(subprocess.check_output(command))
    held = {one["name"].lower().replace("_", "-"): one["version"] for one in listed}
    assert {name: held.get(name) for name in expected} == expected
    assert held.keys() - expected.keys() == {"pip"} | ({"uv"} if installer == "uv" else set())
    assert compiled(venv / "lib") > 0.99
    again = subprocess.check_output(["make", "compile", *arguments], cwd=ROOT, env=ENVIRONMENT)
    assert b"Installing" not in again


def compiled(directory: Path) -> float:
    """Returns the share of modules that lie compiled."""
    modules = [path for path in directory.rglob("*.py") if "tests" not in path.parts]
    return sum(Path(cache_from_source(str(path))).exists() for path in modules) / len(modules)
