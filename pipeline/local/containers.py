"""Runs the steps of a local run in their images, on docker or on what speaks its API.

A step sees the run's directory and what parameters name, files and directories at their own paths,
and nothing else of this machine.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
from docker.types import Mount
from kfp.local import DockerRunner

from components.config import image as default_image
from components.shared.errors import StepError
from pipeline.cluster import ClusterSettings, image_address, image_name
from pipeline.pipelines import Pipeline

USER = 65532  # of the images
READ = ("source", "class_names", "previous", "destination")  # where no step writes there
NOT_STARTED = 125  # as docker's own command line says it
IDLE = 600  # seconds after which a podman service ends by itself whose run was killed


def runner(
    pipeline: Pipeline, parameters: dict[str, Any], variables: Mapping[str, str]
) -> DockerRunner:
    """Returns KFP's runner with what the containers of a run get.

    Args:
        pipeline: The pipeline.
        parameters: Its parameters by name; directories to be written are made.
        variables: Of the environment.
    """
    # Root's files are not the images' user's: he gets into them through root's group.
    user = os.getuid() or USER
    return DockerRunner(
        user=f"{user}:{os.getgid()}",
        environment=dict(variables),
        working_dir=str(Path.cwd()),
        mounts=_mounts(pipeline, parameters),
        read_only=True,
        tmpfs={"/tmp": ""},
        security_opt=["no-new-privileges"],
        cap_drop=["ALL"],
    )


def _mounts(pipeline: Pipeline, parameters: dict[str, Any]) -> list[Mount]:
    written = {path for name in pipeline.written for path in _paths(name, parameters)}
    for path in written:
        share(path)
    read = {path for name in READ for path in _paths(name, parameters) if path.exists()} - written
    return [
        Mount(str(path), str(path), type="bind", read_only=path in read)
        for path in sorted(read | written)
    ]


def _paths(name: str, parameters: dict[str, Any]) -> Iterator[Path]:
    """Yields the paths on this machine that a parameter names, each up to its first wildcard."""
    value = str(parameters.get(name, ""))
    # As components.sources reads it: what exists may have commas in its name.
    several = name == "source" and not Path(value).exists()
    for part in map(str.strip, value.split(",") if several else [value]):
        if part and "://" not in part:
            path = Path(part).absolute()
            wild = [bool(re.search(r"[*?[{]", piece)) for piece in path.parts]
            yield Path(*path.parts[: wild.index(True)]) if any(wild) else path


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


def find_images(pipeline: Pipeline, images: str) -> dict[str, str]:
    """Returns the images by the names that the pipeline has for them, once all are here.

    Args:
        pipeline: The pipeline.
        images: JSON file of step and image; empty: those that ``make images`` built here.

    Raises:
        StepError: No container engine answers, or an image cannot be had; says what to do.
    """
    needed = dict.fromkeys(map(image_name, (*pipeline.step_names, "summary")))
    found = {
        default_image(name): image_address(name, ClusterSettings(images=images)) for name in needed
    }
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
            _pull(client, name)
    return found


def _pull(client: docker.DockerClient, name: str) -> None:
    try:
        client.images.get(name)
    except docker.errors.ImageNotFound:
        try:
            client.images.pull(name)
        except docker.errors.APIError as error:
            raise StepError(
                f"image {name}: not here and cannot be pulled ({error.explanation}); "
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


@contextlib.contextmanager
def podman() -> Iterator[None]:
    """Names podman's socket in ``DOCKER_HOST``, where docker's client, and kfp's, looks for one.

    A socket that is named there already stays. Where podman listens on none, it does so for the
    time of the context.

    Raises:
        StepError: There is neither a socket nor podman, or it cannot be started; says what to do.
    """
    with contextlib.ExitStack() as stack:
        if not os.environ.get("DOCKER_HOST"):
            socket = _socket() or stack.enter_context(_service())
            os.environ["DOCKER_HOST"] = f"unix://{socket}"
            stack.callback(os.environ.pop, "DOCKER_HOST")
        yield


def _socket() -> Path | None:
    """Returns the socket of the user's podman, or else of root's, where it may be used."""
    own = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    sockets = [Path(place, "podman/podman.sock") for place in (own, "/run")]
    return next((socket for socket in sockets if os.access(socket, os.R_OK | os.W_OK)), None)


@contextlib.contextmanager
def _service() -> Iterator[Path]:
    if not shutil.which("podman"):
        raise StepError(
            "podman is not installed and no socket of it is here; install it, or have "
            "DOCKER_HOST name the socket that 'podman system service --time=0' listens on"
        )
    with tempfile.TemporaryDirectory() as directory:
        socket, log = Path(directory, "podman.sock"), Path(directory, "log")
        command = ["podman", "system", "service", f"--time={IDLE}", f"unix://{socket}"]
        with log.open("w", encoding="utf-8") as stderr:
            # In a session of its own: Ctrl-C is for the run, which needs podman to end its step.
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True
            )
        try:
            while not socket.exists():
                if process.poll() is not None:
                    why = " ".join(log.read_text(encoding="utf-8", errors="replace").split())
                    raise StepError(f"'{' '.join(command)}' does not start: {why}")
                time.sleep(0.05)
            yield socket
        finally:
            process.terminate()
            process.wait()
