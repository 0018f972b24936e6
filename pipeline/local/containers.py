"""Runs the steps of a local run in their images, on docker or on what speaks its API.

A step sees the run's directory and those directories that parameters name, at their own paths, and
nothing else of this machine.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import docker
from docker.types import Mount
from kfp.local import DockerRunner

from components.config import image as default_image
from components.shared.errors import StepError
from pipeline.cluster import Cluster, image, image_name
from pipeline.pipelines import Pipeline

USER = 65532  # of the images
READ = ("source", "previous", "destination")  # where no step writes there
NOT_STARTED = 125  # as docker's own command line says it


def runner(pipeline: Pipeline, parameters: dict[str, Any]) -> DockerRunner:
    """Returns KFP's runner with what the containers of a run get.

    Args:
        pipeline: The pipeline.
        parameters: Its parameters by name; directories to be written are made.
    """
    # Root's files are not the images' user's: he gets into them through root's group.
    user = os.getuid() or USER
    return DockerRunner(
        user=f"{user}:{os.getgid()}",
        working_dir=str(Path.cwd()),
        mounts=_mounts(pipeline, parameters),
        read_only=True,
        tmpfs={"/tmp": ""},
        security_opt=["no-new-privileges"],
        cap_drop=["ALL"],
    )


def _mounts(pipeline: Pipeline, parameters: dict[str, Any]) -> list[Mount]:
    named = (*READ, *pipeline.written)
    given = {name: _directory(str(parameters.get(name, ""))) for name in named}
    written = {path for name in pipeline.written if (path := given[name])}
    for path in written:
        share(path)
    read = {path for name in READ if (path := given[name]) and path.exists()} - written
    return [
        Mount(str(path), str(path), type="bind", read_only=path in read)
        for path in sorted(read | written)
    ]


def _directory(value: str) -> Path | None:
    """Returns the path on this machine that a parameter names, up to the first wildcard."""
    if not value or "://" in value:
        return None
    path = Path(value).absolute()
    wild = [bool(re.search(r"[*?[{]", part)) for part in path.parts]
    return Path(*path.parts[: wild.index(True)]) if any(wild) else path


def share(directory: Path) -> None:
    """Makes a directory that containers can write, with all that is in it.

    Raises:
        StepError: It cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StepError(f"{directory}: cannot be made a directory ({error.strerror})") from None
    if os.getuid() == 0:
        for path in (directory, *directory.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o070 if path.is_dir() else 0o060))


def names(pipeline: Pipeline, images: str) -> dict[str, str]:
    """Returns the images by the names that the pipeline has for them, and sees that all are there.

    Args:
        pipeline: The pipeline.
        images: JSON file of step and image; empty: those that ``make images`` built here.

    Raises:
        StepError: No container engine answers, or an image is not to be had; says what to do.
    """
    needed = dict.fromkeys(map(image_name, (*pipeline.step_names, "summary")))
    found = {default_image(name): image(name, Cluster(images=images)) for name in needed}
    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        raise StepError(
            f"no container engine at {os.environ.get('DOCKER_HOST', 'the default socket')} "
            f"({error}); start docker, take podman with --runner podman, or have DOCKER_HOST name "
            "the engine's socket"
        ) from None
    with contextlib.closing(client):
        for name in found.values():
            _fetch(client, name)
    return found


def _fetch(client: docker.DockerClient, name: str) -> None:
    try:
        client.images.get(name)
    except docker.errors.ImageNotFound:
        try:
            client.images.pull(name)
        except docker.errors.APIError as error:
            raise StepError(
                f"image {name}: not here and not to be pulled ({error.explanation}); "
                "'make images' builds it"
            ) from None


def run_container(
    client: docker.DockerClient,
    name: str,
    command: list[str],
    show: Callable[[Iterable[str]], None],
    **settings: Any,
) -> int:
    """Runs a command in a container, shows what it prints, and returns its exit code.

    It takes the place of kfp's own function, which has the engine remove the container at its end,
    before kfp asks for the exit code, and takes a container that is gone for one that succeeded:
    https://github.com/kubeflow/pipelines/issues/13332
    """
    try:
        container = client.containers.run(name, command, detach=True, **settings)
    except docker.errors.APIError as error:
        why = " ".join(str(error.explanation).split())
        show([f"error: the container cannot be started: {why}\n"])
        return NOT_STARTED
    try:
        show(_lines(container.logs(stream=True, follow=True)))
        return container.wait()["StatusCode"]
    except (KeyboardInterrupt, SystemExit):
        # Training saves a checkpoint then. Stopping the container would tell KFP's shell alone.
        container.exec_run(["sh", "-c", "kill -TERM -1"])
        container.wait(timeout=30)
        raise
    finally:
        container.remove(force=True)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Joins chunks to lines; a chunk may end anywhere, within a character too."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace") + "\n"
    if rest:
        yield rest.decode(errors="replace")
