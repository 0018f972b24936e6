"""The images, and a whole run of the pipeline in them, as ``make test-containers`` starts it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from components.shared.code import this_code
from tests.conftest import ROOT, Command
from tests.docker.lock_files import STEPS, lock_of, packages

pytestmark = pytest.mark.containers

IMAGE = "mnist-pipeline-{}:latest"
# The tutorial's settings reach 0.90, which the rules are to let pass here.
SETTINGS = ("--tutorial", "--min-precision", 0.5, "--min-class-recall", 0.2)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def digests(directory: Path) -> dict[str, str]:
    """Returns the sha256 of all files below a directory, by their path in it."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


def local_run(command: Command, directory: Path, *arguments: object) -> tuple[Path, str]:
    """Runs the pipeline and returns the run's directory, and what it showed."""
    places = ("--runs", directory / "runs", "--destination", directory / "registry")
    process = command("pipeline", "local", *places, *SETTINGS, *arguments)
    return directory / "runs" / "latest", process.stdout


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    """The container engine that DOCKER_HOST names."""
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def in_images(command: Command, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run on MNIST in the images."""
    return local_run(command, tmp_path_factory.mktemp("images"), "--runner", "docker")


@pytest.fixture(scope="module")
def in_processes(command: Command, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The same run in processes of this environment."""
    return local_run(command, tmp_path_factory.mktemp("processes"))


def test_the_data_set_is_the_same_as_without_images(
    in_images: tuple[Path, str], in_processes: tuple[Path, str]
) -> None:
    found, expected = (digests(run[0] / "ingest/examples") for run in (in_images, in_processes))
    assert len(expected) > 3
    page = "statistics.html"  # which says when it was made
    assert found.pop(page) and expected.pop(page)
    assert found == expected


def test_the_weights_are_the_same_as_without_images(
    in_images: tuple[Path, str], in_processes: tuple[Path, str]
) -> None:
    expected = digests(in_processes[0] / "train/model/saved_model/variables")
    assert len(expected) == 2
    assert digests(in_images[0] / "train/model/saved_model/variables") == expected


def test_the_model_is_published_out_of_its_container(in_images: tuple[Path, str]) -> None:
    registry = in_images[0].parent.parent / "registry/digits"
    version = str(read(registry / "champion.json")["version"])
    published = digests(registry / version / "variables")
    assert published == digests(in_images[0] / "train/model/saved_model/variables")


def test_predictions_are_the_same_as_without_images(
    in_images: tuple[Path, str], command: Command, tmp_path: Path
) -> None:
    registry = in_images[0].parent.parent / "registry"
    nights = []
    for runner in ("docker", "subprocess"):
        places = ("--runs", tmp_path / runner, "--destination", registry)
        command("pipeline", "predict", "--runner", runner, *places)
        night = tmp_path / runner / "latest-predict"
        nights.append(digests(night / "predict/predictions"))
        nights[-1] |= digests(night / "watch/drift")
        assert nights[-1].pop("drift.html")
    assert len(nights[0]) > 3
    assert nights[0] == nights[1]


def test_the_run_shows_what_one_without_images_shows(
    in_images: tuple[Path, str], in_processes: tuple[Path, str]
) -> None:
    def steady(shown: str) -> list[str]:
        """What of a run does not depend on time."""
        return [line for line in shown.splitlines() if "Precision @ 1" in line]

    assert steady(in_images[1]) == steady(in_processes[1]) != []
    assert "train | Step 2000: loss = " in in_images[1]
    assert "Published digits version 1" in in_images[1]
    assert "KFP Executor" not in in_images[1]


def test_what_a_step_wrote_is_not_roots(in_images: tuple[Path, str]) -> None:
    written = in_images[0] / "train/model/model.json"
    assert written.stat().st_uid == (os.getuid() or 65532)


def test_no_container_is_left(in_images: tuple[Path, str], engine: docker.DockerClient) -> None:
    assert not engine.containers.list(all=True)


@pytest.mark.parametrize("runner", ["docker", "podman"])
def test_a_failed_step_is_reported_as_failed(
    command: Command, tmp_path: Path, engine: docker.DockerClient, runner: str
) -> None:
    # Without DOCKER_HOST it is podman by itself that is found or started.
    environment = {"DOCKER_HOST": ""} if runner == "podman" else {}
    process = command(
        "pipeline",
        "local",
        *("--runs", tmp_path / "runs", "--destination", tmp_path / "registry"),
        *("--runner", runner, "--source", "fake://100", "--batch-size", 5000),
        expect=1,
        environment=environment,
    )
    assert "train failed: " in process.stdout
    assert "Traceback" not in process.stdout + process.stderr
    log = (tmp_path / "runs/latest/train/log.txt").read_text(encoding="utf-8")
    assert "error: " in log
    assert read(tmp_path / "runs/latest/summary/summary")["state"] == "failed"
    assert not engine.containers.list(all=True)


def test_a_missing_image_is_named(command: Command, tmp_path: Path) -> None:
    images = tmp_path / "images.json"
    images.write_text(json.dumps({step: f"localhost/no-{step}:latest" for step in STEPS}))
    process = command(
        "pipeline",
        "local",
        *("--runs", tmp_path / "runs", "--runner", "docker", "--images", images),
        expect=1,
    )
    assert process.stderr.startswith("error: image localhost/no-ingest:latest: not here")
    assert "make images" in process.stderr
    assert process.stderr.count("\n") == 1


def test_an_interrupted_run_saves_a_checkpoint(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "pipeline", "local", "--runner", "docker"),
            *("--runs", tmp_path / "runs", "--destination", tmp_path / "registry"),
            *("--max-steps", "1000000", "--checkpoints", tmp_path / "checkpoints"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    with process:
        assert any("Step 100: " in line for line in process.stdout), "it ended before"
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode != 0
    assert list((tmp_path / "checkpoints").glob("**/*.index"))
    assert "Step 1000: " not in (tmp_path / "runs/latest/train/log.txt").read_text()


@pytest.fixture
def training(engine: docker.DockerClient, in_images: tuple[Path, str]) -> Iterator[Container]:
    """A container that trains by the command line of the step."""
    examples = (in_images[0] / "ingest/examples").resolve()
    container = engine.containers.run(
        IMAGE.format("train"),
        [
            *("python", "-m", "components.train", "--examples", "/examples"),
            *("--model", "/tmp/model", "--logs", "/tmp/logs", "--max-steps", "1000000"),
        ],
        volumes={str(examples): {"bind": "/examples", "mode": "ro"}},
        detach=True,
    )
    yield container
    container.remove(force=True)


def test_sigterm_reaches_training(training: Container) -> None:
    for line in training.logs(stream=True, follow=True):
        if b"Step 100: " in line:
            break
    training.stop(timeout=60)
    assert training.wait()["StatusCode"] == 128 + signal.SIGTERM
    assert b"Stopped by SIGTERM" in training.logs()


def in_image(engine: docker.DockerClient, step: str, code: str) -> Any:
    """Runs Python code in a step's image, locked down, and returns the JSON that it printed."""
    printed = engine.containers.run(
        IMAGE.format(step),
        ["python", "-c", code],
        read_only=True,
        tmpfs={"/tmp": ""},
        network_disabled=True,
        remove=True,
    )
    return json.loads(printed)


@pytest.mark.parametrize("step", STEPS)
def test_an_image_holds_exactly_what_is_locked(engine: docker.DockerClient, step: str) -> None:
    code = (
        "import json, re; from importlib.metadata import distributions; "
        "print(json.dumps({re.sub(r'[-_.]+', '-', d.name).lower(): d.version "
        "for d in distributions()}))"
    )
    expected = packages(lock_of(step)) | packages(lock_of("kfp"))
    assert in_image(engine, step, code) == expected


@pytest.mark.parametrize("step", STEPS)
def test_an_image_holds_no_tools_and_nothing_of_the_machine_that_built_it(
    engine: docker.DockerClient, step: str
) -> None:
    code = (
        "import json, os, shutil; from importlib.util import find_spec; "
        "tools = [*filter(shutil.which, ['pip', 'pip3', 'uv', 'gcc', 'make', 'git'])]; "
        "tools += [*filter(find_spec, ['pip', 'ensurepip'])]; "
        "print(json.dumps([tools, os.getuid(), os.path.exists('/tools'), "
        "os.path.exists('/cache'), os.listdir('/run/secrets') "
        "if os.path.exists('/run/secrets') else []]))"
    )
    assert in_image(engine, step, code) == [[], 65532, False, False, []]
    config = engine.images.get(IMAGE.format(step)).attrs["Config"]
    assert config["User"] == "65532:65532"
    assert not config.get("Entrypoint")
    assert not config.get("Healthcheck")
    assert config["Labels"]["org.opencontainers.image.title"] == f"mnist-pipeline-{step}"
    own = {"PATH", "HOME", "USER", "VIRTUAL_ENV"}
    names = {variable.split("=")[0] for variable in config["Env"]}
    assert all(name in own or name.startswith("PYTHON") or name == "container" for name in names)


@pytest.mark.parametrize("step", STEPS)
def test_an_image_starts_without_writing(engine: docker.DockerClient, step: str) -> None:
    shown = engine.containers.run(
        IMAGE.format(step), read_only=True, tmpfs={"/tmp": ""}, network_disabled=True, remove=True
    )
    assert shown.decode().startswith(f"Usage: python -m components.{step}")
    uncompiled = (
        "import json; from importlib.util import cache_from_source as cache; "
        "from pathlib import Path; "
        "print(json.dumps([str(path) for root in ('/app', '/opt/venv') "
        "for path in Path(root).rglob('*.py') if not Path(cache(str(path))).exists()][:9]))"
    )
    assert in_image(engine, step, uncompiled) == []


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of an image registry."""
    address = "localhost:5000"
    settings = tmp_path / "registry.yml"
    settings.write_text(
        json.dumps(
            {
                "version": 0.1,
                "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
                "http": {"addr": address},
            }
        )
    )
    process = subprocess.Popen(
        ["docker-registry", "serve", settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for _ in range(100):
        try:
            urllib.request.urlopen(f"http://{address}/v2/")
            break
        except OSError:
            time.sleep(0.1)
    yield address
    process.terminate()
    process.wait()


def test_pushed_images_are_named_by_digest_and_run(
    registry: str, engine: docker.DockerClient, tmp_path: Path
) -> None:
    images = tmp_path / "images.json"
    push = ["make", "images", f"REGISTRY={registry}/team", "TAG=v1", f"IMAGES={images}"]
    subprocess.run([*push, "STEPS=ingest"], cwd=ROOT, check=True)
    name = read(images)["ingest"]
    assert read(images)["commit"].removesuffix("-dirty") == this_code().commit
    assert name.startswith(f"{registry}/team/mnist-pipeline-ingest@sha256:")

    kinds = ("oci.image.manifest.v1", "docker.distribution.manifest.v2")
    request = urllib.request.Request(
        f"http://{registry}/v2/team/mnist-pipeline-ingest/manifests/v1",
        headers={"Accept": ", ".join(f"application/vnd.{kind}+json" for kind in kinds)},
    )
    with urllib.request.urlopen(request) as answer:
        assert name.endswith(answer.headers["Docker-Content-Digest"])
    shown = engine.containers.run(name, remove=True)
    assert shown.startswith(b"Usage: python -m components.ingest")
