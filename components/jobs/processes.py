"""Beam's worker processes, watched: where one is lost, the run ends instead of waiting for it."""

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from apache_beam.portability import python_urns
from apache_beam.runners.portability.fn_api_runner import worker_handlers
from apache_beam.transforms.environments import SubprocessSDKEnvironment
from google.protobuf import json_format, text_format

from components.shared.errors import StepError
from components.shared.process import cores

COMMAND = [sys.executable, "-m", "components.jobs.worker"]
GRACE = 5.0  # seconds that a worker has to end what it does
MOST = 16  # worker processes, on however many cores: each holds Beam, or TensorFlow besides
RETRY = 0.1  # seconds between two looks for what waits for a lost worker


def suitable(ranges: int) -> int:
    """Returns how many worker processes suit so many ranges: one a core, none without work."""
    return min(cores(), ranges, MOST)


def environment() -> SubprocessSDKEnvironment:
    """Returns Beam's environment whose workers are processes of ours."""
    return SubprocessSDKEnvironment.from_command_string(shlex.join(COMMAND))


@contextmanager
def watched() -> Iterator[None]:
    """Raises one line where the block ends because a worker process was lost.

    Raises:
        StepError: One was; says how.
    """
    WatchedProcess.started.clear()
    WatchedProcess.lost.clear()
    try:
        yield
    except Exception as error:
        if not WatchedProcess.lost:
            raise
        raise StepError(
            f"a worker process {WatchedProcess.lost[0]}, expected it to work to the end; where "
            "memory is short, lower --shard-size, or run one: -- --direct_num_workers=1"
        ) from error


class WatchedProcess(worker_handlers.GrpcWorkerHandler):
    """A worker process; Beam's own handler waits for ever for one that was killed."""

    started: ClassVar[list["WatchedProcess"]] = []
    lost: ClassVar[list[str]] = []  # what became of each that ended before its work

    def __init__(self, command: bytes, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._command = shlex.split(command.decode())
        self._ending = threading.Event()
        self._process: subprocess.Popen | None = None

    def start_worker(self) -> None:
        """Starts the process, and a thread that waits for its end."""
        options = self.provision_info.provision_info.pipeline_options
        services = {
            "CONTROL_API_SERVICE_DESCRIPTOR": self.control_api_service_descriptor(),
            "LOGGING_API_SERVICE_DESCRIPTOR": self.logging_api_service_descriptor(),
        }
        variables = {name: text_format.MessageToString(at) for name, at in services.items()}
        variables["PIPELINE_OPTIONS"] = json_format.MessageToJson(options)
        variables["WORKER_ID"] = self.worker_id
        with worker_handlers.SUBPROCESS_LOCK:
            process = subprocess.Popen(self._command, env={**os.environ, **variables})
        self._process = process
        self.started.append(self)
        threading.Thread(target=self._watch, args=(process,), daemon=True).start()

    def _watch(self, process: subprocess.Popen) -> None:
        status = process.wait()
        if self._ending.is_set():
            return
        killed = status < 0
        self.lost.append(
            f"was killed by {signal.Signals(-status).name}"
            if killed
            else f"ended, with the exit code {status}"
        )
        while not self._ending.wait(RETRY):  # Beam may ask more of one meanwhile
            for one in list(self.started):
                one.abort()

    def abort(self) -> None:
        """Has what waits for an answer or for data of the process wait no longer."""
        with suppress(RuntimeError):  # another question came at this moment
            self.control_conn.abort(StepError("a worker process was lost"))
        with suppress(Exception):  # it raises what the stream broke of
            self.data_conn.close()

    def close(self) -> None:
        """Ends the process: it is asked to, and killed where it does not follow."""
        self._ending.set()
        if self._process:
            killing = threading.Timer(0 if self.lost else GRACE, self._process.kill)
            killing.start()
            self.control_conn.close()
            self._process.wait()
            killing.cancel()
        self.abort()


worker_handlers.WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)(
    WatchedProcess
)
