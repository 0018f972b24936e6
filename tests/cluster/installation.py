"""An installation under test: starts runs there, looks at them, and removes them again."""

import json
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import kfp_server_api

from components.config import RECIPES
from components.registry.registry import Registry
from components.shared.errors import StepError
from components.sources import filesystem
from components.summary.run_summary import RunSummary
from components.summary.workflow import pods_of
from pipeline.compile import Package
from pipeline.remote import client, schedules, waiting
from pipeline.remote.client import FINISHED, Connection, Request, api_errors_as_step_error
from tests.cluster.board import Seen, SkippedError, StoppedError, expect
from tests.cluster.receiver import Receiver
from tests.workflows import record

# Any model goes out: the tutorial's is not the point here.
LENIENT = {
    "min_precision": 0.0,
    "max_regression": 1.0,
    "min_class_recall": 0.0,
    "max_gap": 1.0,
    "max_latency_ms": 10_000.0,
    "max_serving_ms": 10_000.0,
}
# A minute or so of training: long enough to be interrupted, and over by itself.
LONG: dict[str, Any] = {"max_steps": 200_000, "log_every": 1_000, "checkpoint_seconds": 5.0}
# How a run's workflow is called among those that tests go through, by the run's name.
RECORDED = {
    "success": "published",
    "not-blessed": "not-blessed",
    "failure": "retried",
    "termination": "terminated",
    "resumption": "pod-deleted",
    "quiet": "quiet",
    "alarm": "alarm",
    "empty": "nothing-new",
}
OUTSIDE = 20.0  # seconds that a registry may take to answer this machine
T = TypeVar("T")


def bounded(call: Callable[[], T], seconds: float) -> T:
    """Calls for a bounded time: a bucket's client without credentials looks for them for minutes.

    Raises:
        StepError: It takes longer, or fails.
    """
    result: Future[T] = Future()

    def work() -> None:
        try:
            result.set_result(call())
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            result.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return result.result(timeout=seconds)
    except TimeoutError:
        raise StepError(f"no answer within {seconds:g} s; are there credentials?") from None
    except (StepError, OSError, ValueError) as error:
        raise StepError(str(error)) from None


@dataclass
class Installation:
    """An installation, and what was started there."""

    connection: Connection
    packages: dict[str, Package]  # by what they are for: mnist, ttl, predict
    given: dict[str, Any]  # parameters: source, destination
    shared: bool  # the destination is one that all pods see
    receiver: Receiver
    poll: float = 5.0  # seconds between two looks
    patience: float = 900.0  # seconds until something has to have happened
    name: str = field(default_factory=lambda: f"test-cluster-{secrets.token_hex(3)}")
    record: Path | None = None  # where the workflows of runs are written
    runs: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # of runs, by their ids
    stopped: threading.Event = field(default_factory=threading.Event)
    # The registry's version 1 is there, or never will be.
    published: Future[str] = field(default_factory=Future)
    slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(3))

    def begin(self) -> None:
        """Makes the experiment that all runs belong to."""
        kfp_client = self.connection.open()
        with api_errors_as_step_error(self.connection.host):
            kfp_client.create_experiment(self.name, namespace=self.connection.namespace or None)

    def request(self, name: str, package: str = "mnist", **parameters: Any) -> Request:
        """Returns what to run: the tutorial's training, on a model name of this test's own."""
        compiled = self.packages[package]
        settings = {
            **RECIPES["tutorial"],
            **LENIENT,
            **self.given,
            "webhook": self.receiver.webhook(name),
        }
        settings |= {**parameters, "model_name": self.name}
        fitting = {key: value for key, value in settings.items() if key in compiled.inputs}
        return Request(compiled, fitting, self.name, f"{self.name}-{name}")

    def submit(self, name: str, package: str = "mnist", **parameters: Any) -> str:
        """Starts a run and returns its id."""
        if self.stopped.is_set():
            raise StoppedError("stopped")
        run_id, _ = client.submit(self.connection, self.request(name, package, **parameters))
        self.runs.append(run_id)
        self.names[run_id] = name
        return run_id

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Keeps runs from crowding a node out; a volume may be for one pod at a time."""
        while not self.slots.acquire(timeout=1):
            if self.stopped.is_set():
                raise StoppedError("stopped")
        try:
            yield
        finally:
            self.slots.release()

    def state(self, run_id: str) -> str:
        """Returns a run's state, as the API has it."""
        with self.connection.api() as api, api_errors_as_step_error(self.connection.host):
            run = kfp_server_api.RunServiceApi(api).run_service_get_run(run_id)
            return str(run.state)

    def until(self, look: Callable[[], T], what: str) -> T:
        """Looks again and again until there is something, and returns it."""
        end = time.monotonic() + self.patience
        while not (found := look()):
            assert time.monotonic() < end, f"{what}: not within {self.patience:g} s"
            self.pause(self.poll)
        return found

    def pause(self, seconds: float) -> None:
        """Waits, unless all is to end."""
        if self.stopped.wait(seconds):
            raise StoppedError("stopped")

    def wait(self, run_id: str) -> RunSummary:
        """Waits until a run is over."""
        self.until(lambda: self.state(run_id) in FINISHED, f"run {run_id} is over")
        ended = waiting.wait(self.connection, run_id, lambda _: None, self.poll)
        if self.record and (kind := RECORDED.get(self.names.get(run_id, ""))):
            record(self.workflow(run_id), kind, self.record / self._version())
        return ended

    def _version(self) -> str:
        """Returns the server's version, its first two numbers."""
        with self.connection.api() as api, api_errors_as_step_error(self.connection.host):
            service = kfp_server_api.HealthzServiceApi(api)
            # Its model leaves the version out.
            health = json.loads(service.healthz_service_get_healthz(_preload_content=False).data)
        return ".".join(str(health.get("tag_name") or "unknown").split(".")[:2])

    def workflow(self, run_id: str) -> dict[str, Any]:
        """Returns a run's workflow, {} while there is none."""
        with self.connection.api() as api, api_errors_as_step_error(self.connection.host):
            return waiting.workflow_of(api, run_id)

    def pods(self, run_id: str, step: str) -> dict[str, Any]:
        """Returns the nodes of a step's pods, by the pods' names, one an attempt."""
        workflow = self.workflow(run_id)
        return dict(pods_of(workflow, step)) if workflow else {}

    def running(self, run_id: str, step: str) -> str:
        """Waits until a pod of a step runs, and returns its name."""

        def look() -> str:
            pods = self.pods(run_id, step)
            state = self.state(run_id)
            assert state not in FINISHED, f"run {run_id} is {state.lower()} before {step} runs"
            return next((name for name, node in pods.items() if node["phase"] == "Running"), "")

        return self.until(look, f"{step} of run {run_id} runs")

    def parameter(self, run_id: str, step: str, name: str) -> str:
        """Returns what a step of a run was given for a parameter, once its driver has said so."""

        def look() -> str:
            for node in self.pods(run_id, step).values():
                for given in node.get("inputs", {}).get("parameters", []):
                    if given["name"] == "pod-spec-patch":
                        (container,) = json.loads(given["value"])["containers"]
                        words = [*container.get("command", []), *container.get("args", [])]
                        found = json.loads(words[words.index("--executor_input") + 1])
                        return str(found["inputs"]["parameterValues"].get(name, "none"))
            return ""

        return self.until(look, f"{step} of run {run_id} gets its input")

    def said(self, run_id: str) -> str:
        """Returns the line that a run's summary printed."""
        workflow = self.workflow(run_id)
        pods = list(pods_of(workflow, "summary")) if workflow else []
        with self.connection.api() as api, api_errors_as_step_error(self.connection.host):
            log = waiting.log_of(api, workflow, pods[-1]) if pods else ""
        return next((line for line in log.splitlines() if f"(run {run_id}" in line), "nothing")

    def told(self, name: str, run_id: str) -> Seen:
        """Says whether the webhook was told what the summary of a run printed."""
        said, text = self.said(run_id), self.receiver.text(name, min(30.0, self.patience))
        if not text and not self.receiver.named:
            return Seen("not tried", f"no pod reaches {self.receiver.address}; name it: --listen")
        return expect(text == said, text or f"nothing came to {self.receiver.address}")

    def terminate(self, run_id: str) -> None:
        """Ends a run."""
        kfp_client = self.connection.open()
        with api_errors_as_step_error(self.connection.host):
            kfp_client.terminate_run(run_id)

    def weights(self, run_id: str) -> dict[str, str]:
        """Returns the digests of the weights that a run has published.

        Raises:
            SkippedError: The registry cannot be read from this machine.
        """
        registry = Registry.open(str(self.given["destination"]), self.name)

        def read() -> dict[str, str]:
            found = [registry.manifest(version) for version in registry.versions()]
            files = [each.files for each in found if each.run_id == run_id]
            if not files:
                raise StepError(f"{self.given['destination']}: no version of the run {run_id}")
            weights = [name for name in files[0] if name.startswith("variables/")]
            return {name: files[0][name].sha256 for name in weights}

        try:
            return bounded(read, OUTSIDE)
        except StepError as error:
            raise SkippedError(f"the registry cannot be read from here: {error}") from None

    @property
    def models(self) -> str:
        """The directory of this test's models."""
        return f"{str(self.given['destination']).rstrip('/')}/{self.name}"

    @property
    def visible(self) -> bool:
        """Whether this machine may see the registry too: a directory of a volume lies elsewhere."""
        destination = str(self.given["destination"])
        return "://" in destination or Path(destination).is_dir()

    def kubectl(self, *arguments: str) -> str:
        """Runs kubectl in the namespace of the runs.

        Raises:
            SkippedError: There is none, or it may not.
        """
        command = ["kubectl", "-n", self.connection.namespace or "kubeflow", *arguments]
        try:
            return subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=60
            ).stdout
        except FileNotFoundError:
            raise SkippedError("there is no kubectl here") from None
        except subprocess.TimeoutExpired:
            raise SkippedError(f"kubectl {' '.join(arguments)}: no answer in a minute") from None
        except subprocess.CalledProcessError as error:
            said = (error.stderr.strip() or error.stdout.strip()).splitlines()
            raise SkippedError(f"kubectl {' '.join(arguments)}: {said[-1:]}") from None

    def clean(self) -> list[str]:
        """Removes the schedules, runs, experiment and models of this test, each on its own.

        Returns:
            What could not be removed, and why.
        """
        left: list[str] = []

        def remove(what: str, call: Callable[[], None]) -> None:
            try:
                call()
            except (AssertionError, StepError, OSError, ValueError) as error:
                left.append(f"{what}: {error}")

        remove("schedules", self._remove_schedules)
        for run_id in dict.fromkeys(self.runs):
            remove(f"run {run_id}", partial(self._end, run_id))
        for run_id in dict.fromkeys(self.runs):
            remove(f"run {run_id}", partial(self._remove_run, run_id))
        remove(f"experiment {self.name}", self._remove_experiment)
        if self.shared and self.visible:
            remove(self.models, lambda: bounded(lambda: _remove_directory(self.models), OUTSIDE))
        return left

    def _remove_schedules(self) -> None:
        for schedule in schedules.every(self.connection):
            if schedule.display_name.startswith(self.name):
                kfp_client = self.connection.open()
                for run in schedules.unfinished(self.connection, kfp_client, schedule):
                    self.runs.append(run.run_id)
                schedules.delete(self.connection, schedule.display_name, False, True, self.poll)

    def _end(self, run_id: str) -> None:
        if self.state(run_id) not in (*FINISHED, "CANCELING"):
            self.terminate(run_id)

    def _remove_run(self, run_id: str) -> None:
        self.until(lambda: self.state(run_id) in FINISHED, f"run {run_id} is over")
        kfp_client = self.connection.open()
        with api_errors_as_step_error(self.connection.host):
            kfp_client.delete_run(run_id)

    def _remove_experiment(self) -> None:
        kfp_client = self.connection.open()
        with api_errors_as_step_error(self.connection.host):
            namespace = self.connection.namespace or None
            found = kfp_client.get_experiment(experiment_name=self.name, namespace=namespace)
            kfp_client.delete_experiment(found.experiment_id)


def _remove_directory(address: str) -> None:
    store, path = filesystem.open_filesystem(address)
    with suppress(FileNotFoundError):
        store.delete_dir(path)
