"""What the containers of a local run see, and where it finds podman.

tests/e2e/test_containers.py runs them.
"""

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.shared.errors import StepError
from pipeline.local.containers import podman, runner
from pipeline.pipelines import MNIST, PIPELINES, Pipeline
from tests.conftest import Command


def parameters(pipeline: Pipeline, **given: object) -> dict[str, Any]:
    """Returns the defaults of the pipeline's parameters, but for those given."""
    defaults = {
        name: value for config in pipeline.parameters for name, value in vars(config()).items()
    }
    return defaults | {name: str(value) for name, value in given.items()}


def mounts(pipeline: Pipeline = MNIST, **given: object) -> dict[str, bool]:
    """Returns what a container sees, and whether it can write there."""
    found = runner(pipeline, parameters(pipeline, **given), {}).container_run_args["mounts"]
    assert all(mount["Source"] == mount["Target"] for mount in found)
    return {mount["Target"]: not mount["ReadOnly"] for mount in found}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Works in a directory that has nothing in it."""
    monkeypatch.chdir(tmp_path)


def test_a_container_reads_the_source_and_writes_the_registry(tmp_path: Path) -> None:
    source, registry = tmp_path / "data", tmp_path / "registry"
    source.mkdir()
    assert mounts(source="data", destination="registry") == {
        str(source): False,
        str(registry): True,
    }
    assert registry.is_dir()


def test_a_registry_that_a_pipeline_does_not_write_is_only_read(tmp_path: Path) -> None:
    reading = replace(MNIST, written=("cache",))
    source, registry = tmp_path / "data", tmp_path / "registry"
    source.mkdir()
    registry.mkdir()
    assert mounts(reading, source="data", destination="registry") == {
        str(source): False,
        str(registry): False,
    }
    assert mounts(reading, source="data", destination="none") == {str(source): False}
    assert not (tmp_path / "none").exists()


def test_what_parameters_do_not_name_is_not_there(tmp_path: Path) -> None:
    given = mounts(source="gs://bucket/mnist", destination="gs://bucket/registry")
    assert given == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", ["*.parquet", "{date}/*.parquet", "part-[0-9]/x?"])
def test_a_pattern_is_read_from_the_directory_before_it(tmp_path: Path, source: str) -> None:
    (tmp_path / "data").mkdir()
    seen = mounts(source=tmp_path / "data" / source, destination="gs://bucket/registry")
    assert seen == {str(tmp_path / "data"): False}


def test_every_source_of_a_list_is_there(tmp_path: Path) -> None:
    for name in ("one", "two", "a,b"):
        (tmp_path / name).mkdir()
    registry = "gs://bucket/registry"
    assert mounts(source="one, two/*.parquet,gs://bucket/x", destination=registry) == {
        str(tmp_path / "one"): False,
        str(tmp_path / "two"): False,
    }
    assert mounts(source="a,b", destination=registry) == {str(tmp_path / "a,b"): False}


def test_the_file_of_class_names_is_there(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cat\ndog\n", encoding="utf-8")
    (tmp_path / "cat").mkdir()
    for pipeline in PIPELINES.values():
        given = {"source": "gs://bucket/mnist", "destination": "gs://bucket/registry"}
        seen = mounts(pipeline, **given, class_names="names.txt")
        assert seen == {str(tmp_path / "names.txt"): False}
        assert mounts(pipeline, **given, class_names="cat,dog") == {}


def test_a_source_that_does_not_exist_is_left_to_ingest_to_report(tmp_path: Path) -> None:
    assert mounts(source="missing", destination="gs://bucket/registry") == {}
    assert not (tmp_path / "missing").exists()


def test_a_directory_that_is_read_and_written_can_be_written(tmp_path: Path) -> None:
    both = tmp_path / "both"
    both.mkdir()
    assert mounts(source=both, destination=both) == {str(both): True}


def test_a_registry_that_cannot_be_made_is_an_error_for_people(tmp_path: Path) -> None:
    (tmp_path / "registry").write_text("not a directory", encoding="utf-8")
    with pytest.raises(StepError, match="registry: cannot be made a directory"):
        runner(MNIST, parameters(MNIST, destination="registry"), {})


def test_a_container_never_runs_as_root() -> None:
    settings = runner(MNIST, parameters(MNIST), {}).container_run_args
    assert settings["user"].split(":")[0] == str(os.getuid() or 65532)
    assert settings["read_only"] and settings["cap_drop"] == ["ALL"]


def test_a_missing_engine_is_one_line_that_says_what_to_do(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    runs = tmp_path / "runs"
    process = command("pipeline", "local", "--runner", "docker", "--runs", runs, expect=1)
    assert process.stderr.startswith(f"error: no container engine at unix://{tmp_path}/none.sock")
    assert "--runner podman" in process.stderr
    assert process.stderr.count("\n") == 1
    assert not runs.exists()


@pytest.fixture
def no_podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sees that there is neither DOCKER_HOST nor a socket of this user's, nor podman."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def is_root_served() -> bool:
    return os.access("/run/podman/podman.sock", os.W_OK)


@pytest.mark.usefixtures("no_podman")
def test_the_users_own_socket_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "podman" / "podman.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        with podman():
            assert os.environ["DOCKER_HOST"] == f"unix://{path}"
    assert "DOCKER_HOST" not in os.environ


def test_a_named_engine_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://engine.example:2375")
    with podman():
        assert os.environ["DOCKER_HOST"] == "tcp://engine.example:2375"
    assert os.environ["DOCKER_HOST"] == "tcp://engine.example:2375"


@pytest.mark.skipif(is_root_served(), reason="podman listens on this machine")
@pytest.mark.usefixtures("no_podman")
def test_no_podman_is_one_line_that_says_what_to_do(command: Command, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    process = command("pipeline", "local", "--runner", "podman", "--runs", runs, expect=1)
    assert process.stderr.startswith("error: podman is not installed")
    assert "podman system service" in process.stderr
    assert process.stderr.count("\n") == 1
    assert not runs.exists()


@pytest.mark.skipif(is_root_served(), reason="podman listens on this machine")
@pytest.mark.usefixtures("no_podman")
def test_a_podman_that_does_not_start_tells_why(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "podman"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'Error: no space' >&2\necho 'left' >&2\nexit 125\n")
    program.chmod(0o755)
    with pytest.raises(StepError, match=r"does not start: Error: no space left$"), podman():
        pass
