"""Which code ran, as models and runs say it."""

import subprocess
import tomllib
from pathlib import Path

import pytest

from components.config import VERSION
from components.shared import code
from components.shared.code import Code, this_code
from components.shared.environment import COMMIT
from tests.conftest import ROOT


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, taken for the project's."""
    monkeypatch.delenv(COMMIT, raising=False)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    (tmp_path / "model.py").write_text("HIDDEN = 128\n")
    author = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    for arguments in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "One"]):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True)
    return tmp_path


def test_version_is_the_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION == this_code().version


def test_commit_is_gits(repository: Path) -> None:
    head = subprocess.check_output(["git", "-C", repository, "rev-parse", "HEAD"], text=True)
    assert this_code() == Code(VERSION, head.strip(), False)
    assert str(this_code()) == f"{VERSION} ({head[:12]})"


def test_a_changed_file_is_told_and_one_that_git_does_not_know_is_not(repository: Path) -> None:
    (repository / "notes.txt").write_text("mine")
    assert not this_code().dirty
    (repository / "model.py").write_text("HIDDEN = 64\n")
    assert this_code().dirty
    assert str(this_code()).endswith(" with changes)")


def test_a_project_inside_another_repository_has_no_commit(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "inside").mkdir()
    monkeypatch.setattr(code, "ROOT", repository / "inside")
    assert this_code() == Code(VERSION, "", False)
    assert str(this_code()) == VERSION


def test_without_git_the_environment_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert this_code() == Code(VERSION, "", False)
    monkeypatch.setenv(COMMIT, "0123abcd")
    assert this_code() == Code(VERSION, "0123abcd", False)
    monkeypatch.setenv(COMMIT, "0123abcd-dirty")
    assert this_code() == Code(VERSION, "0123abcd", True)
