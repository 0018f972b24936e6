"""Where a local run finds podman; tests/e2e/test_containers.py runs its steps there."""

import os
import socket
from pathlib import Path

import pytest

from components.shared.errors import StepError
from pipeline.local import engine
from tests.conftest import Command


@pytest.fixture(autouse=True)
def nothing_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither DOCKER_HOST nor a socket of this user's, nor podman."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def is_root_served() -> bool:
    return os.access("/run/podman/podman.sock", os.W_OK)


def test_the_users_own_socket_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "podman" / "podman.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        with engine.podman():
            assert os.environ["DOCKER_HOST"] == f"unix://{path}"
    assert "DOCKER_HOST" not in os.environ


def test_a_named_engine_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://engine.example:2375")
    with engine.podman():
        assert os.environ["DOCKER_HOST"] == "tcp://engine.example:2375"
    assert os.environ["DOCKER_HOST"] == "tcp://engine.example:2375"


@pytest.mark.skipif(is_root_served(), reason="podman listens on this machine")
def test_no_podman_is_one_line_that_says_what_to_do(command: Command, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    process = command("pipeline", "local", "--runner", "podman", "--runs", runs, expect=1)
    assert process.stderr.startswith("error: podman is not installed")
    assert "podman system service" in process.stderr
    assert process.stderr.count("\n") == 1
    assert not runs.exists()


@pytest.mark.skipif(is_root_served(), reason="podman listens on this machine")
def test_a_podman_that_does_not_start_tells_why(tmp_path: Path) -> None:
    podman = tmp_path / "bin" / "podman"
    podman.parent.mkdir()
    podman.write_text("#!/bin/sh\necho 'Error: no space' >&2\necho 'left' >&2\nexit 125\n")
    podman.chmod(0o755)
    with pytest.raises(StepError, match=r"does not start: Error: no space left$"), engine.podman():
        pass
