"""A release: what it refuses before it begins, and that nothing is left of one that fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

NEEDED = ("release.sh", "CHANGELOG.md", "pyproject.toml", "components/config.py")
AUTHOR = {f"GIT_{who}_{what}": "tests@localhost" for who in ("AUTHOR", "COMMITTER")
          for what in ("NAME", "EMAIL")}  # fmt: skip


def git(checkout: Path, *arguments: str) -> str:
    return subprocess.check_output(
        ["git", "-C", checkout, *arguments], env={**os.environ, **AUTHOR}, text=True
    )


def release(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **AUTHOR, "VENV": sys.prefix, "UV_NO_CACHE": "1"}
    command = [str(checkout / "release.sh"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of version 1.2.0, without what a release takes long to make."""
    for name in NEEDED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "tests" / "compatibility").mkdir(parents=True)
    (tmp_path / "tests" / "compatibility" / "read.me").touch()
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.0, unreleased\n\n- All of it.\n")
    project = tmp_path / "pyproject.toml"
    lines = project.read_text().splitlines()
    lines = ['version = "1.2.0"' if line.startswith("version = ") else line for line in lines]
    project.write_text("\n".join(lines) + "\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "All of it")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([""], "'' is not a version"),
        (["v1.2.0"], "'v1.2.0' is not a version"),
        (["1.2.0", "next"], "'next' is not a version"),
        (["1.1.9"], "do not follow 1.2.0"),
        (["1.2.0", "1.2.0"], "do not follow 1.2.0"),
        (["1.10.0", "1.9.0"], "do not follow 1.2.0"),
    ],
)
def test_a_version_is_one_and_follows_the_last(
    checkout: Path, arguments: list[str], reason: str
) -> None:
    process = release(checkout, *arguments)
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: ") and reason in line


def test_changes_that_are_not_committed_are_no_part_of_a_release(checkout: Path) -> None:
    (checkout / "more.py").touch()
    assert "changes that are not committed" in release(checkout, "1.2.0").stderr


def test_a_version_is_released_once(checkout: Path) -> None:
    git(checkout, "tag", "v1.2.0")
    assert "v1.2.0 was released already" in release(checkout, "1.2.0").stderr


def test_users_are_told_what_is_new(checkout: Path) -> None:
    (checkout / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.0, 2026-01-01\n")
    git(checkout, "commit", "--quiet", "--all", "--message", "Nothing is new")
    assert "no heading '## 1.2.0, unreleased'" in release(checkout, "1.2.0").stderr


def test_nothing_is_left_of_a_release_that_fails(checkout: Path) -> None:
    before = git(checkout, "rev-parse", "HEAD")
    process = release(checkout, "1.3.0")  # there is no lock of packages here
    assert process.returncode != 0
    assert "Taking back what was done" in process.stderr
    assert git(checkout, "rev-parse", "HEAD") == before
    assert not git(checkout, "status", "--porcelain") and not git(checkout, "tag")
