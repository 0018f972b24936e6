"""Has docker's client, kfp's too, find podman in docker's place: in ``DOCKER_HOST``."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from components.shared.errors import StepError

IDLE = 600  # seconds after which a service ends by itself whose run was killed


@contextlib.contextmanager
def podman() -> Iterator[None]:
    """Names podman's socket in ``DOCKER_HOST``, unless that names one already.

    Where podman listens on none, it does so for the time of the context.

    Raises:
        StepError: There is no socket and no podman, or it cannot be started; says what to do.
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
            "podman is not installed, and no socket of it is here; install it, or have "
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
