"""An installation under test: starts runs there, looks at them, and removes them again."""

import secrets
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from components.config import TUTORIAL
from components.shared.errors import StepError
from components.summary.run_summary import RunSummary
from components.summary.workflow import pods_of
from pipeline.compile import Package
from pipeline.remote import client, schedules, waiting
from pipeline.remote.client import FINISHED, Connection, Request, api_errors_as_step_error

# Any model goes out: the tutorial's is not the point here.
LENIENT = {
    "min_precision": 0.0,
    "max_regression": 1.0,
    "min_class_recall": 0.0,
    "max_gap": 1.0,
    "max_latency_ms": 10_000.0,
    "max_serving_ms": 10_000.0,
}
ENDLESS = {"max_steps": 1_000_000_000, "checkpoint_seconds": 5.0}
T = TypeVar("T")


class SkippedError(Exception):
    """Something cannot be tried on this installation; says why."""


@dataclass
class Installation:
    """An installation, and what was started there."""

    connection: Connection
    package: Package
    given: dict[str, Any]  # parameters: source, destination
    poll: float = 5.0  # seconds between two looks
    patience: float = 900.0  # seconds until something has to have happened
    name: str = field(default_factory=lambda: f"test-cluster-{secrets.token_hex(3)}")
    runs: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Makes the experiment that all runs belong to."""
        kfp_client = self.connection.open()
        with api_errors_as_step_error(self.connection.host):
            kfp_client.create_experiment(self.name, namespace=self.connection.namespace or None)

    def request(self, name: str, **parameters: Any) -> Request:
        """Returns what to run: the tutorial's training, on a model name of this test's own."""
        known = self.package.inputs
        settings = {**TUTORIAL, **LENIENT, **self.given, **parameters, "model_name": self.name}
        fitting = {key: value for key, value in settings.items() if key in known}
        return Request(self.package, fitting, self.name, f"{self.name}-{name}")

    def submit(self, name: str, **parameters: Any) -> str:
        """Starts a run and returns its id."""
        run_id, _ = client.submit(self.connection, self.request(name, **parameters))
        self.runs.append(run_id)
        return run_id

    def wait(self, run_id: str) -> RunSummary:
        """Waits until a run is over, and sees that its summary told the webhook the same."""
        ended = waiting.wait(self.connection, run_id, lambda _: None, self.poll)
        told = [line for line in self.log(run_id, "summary") if line.startswith("Run ")]
        assert told, f"the summary of run {run_id} said nothing"
        assert told[-1].startswith(ended.sentence), f"the summary said: {told[-1]}"
        return ended

    def workflow(self, run_id: str) -> dict[str, Any]:
        """Returns a run's workflow, {} while there is none."""
        with self.connection.api() as api, api_errors_as_step_error(self.connection.host):
            return waiting.workflow_of(api, run_id)

    def pods(self, run_id: str, step: str) -> list[str]:
        """Returns the names of a step's pods, one an attempt."""
        workflow = self.workflow(run_id)
        return list(pods_of(workflow, step)) if workflow else []

    def log(self, run_id: str, step: str) -> list[str]:
        """Returns the log of a step's last attempt."""
        workflow = self.workflow(run_id)
        found = list(pods_of(workflow, step)) if workflow else []
        with self.connection.api() as api, api_errors_as_step_error(self.connection.host):
            return waiting.log_of(api, workflow, found[-1]).splitlines() if found else []

    def until(self, look: Callable[[], T], what: str) -> T:
        """Looks again and again until there is something, and returns it."""
        end = time.monotonic() + self.patience
        while not (found := look()):
            assert time.monotonic() < end, f"{what}: not within {self.patience:g} s"
            time.sleep(self.poll)
        return found

    def training(self, run_id: str) -> str:
        """Waits until a run's training has told of steps, and returns its pod."""

        def look() -> bool:
            return any(line.startswith("Step ") for line in self.log(run_id, "train"))

        self.until(look, f"run {run_id} trains")
        return self.pods(run_id, "train")[-1]

    def terminate(self, run_id: str) -> None:
        """Ends a run."""
        kfp_client = self.connection.open()
        with api_errors_as_step_error(self.connection.host):
            kfp_client.terminate_run(run_id)

    def kubectl(self, *arguments: str) -> str:
        """Runs kubectl in the namespace of the runs.

        Raises:
            SkippedError: There is none, or it may not.
        """
        command = ["kubectl", "-n", self.connection.namespace or "kubeflow", *arguments]
        try:
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout
        except FileNotFoundError:
            raise SkippedError("there is no kubectl here") from None
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip() or error.stdout.strip()
            raise SkippedError(f"kubectl {' '.join(arguments)}: {said}") from None

    def clean(self) -> None:
        """Removes the schedules, runs and the experiment of this test."""
        for schedule in schedules.every(self.connection):
            if schedule.display_name.startswith(self.name):
                kfp_client = self.connection.open()
                for run in schedules.unfinished(self.connection, kfp_client, schedule):
                    self.runs.append(run.run_id)
                with suppress(StepError):
                    schedules.delete(self.connection, schedule.display_name, False, True, self.poll)
        kfp_client = self.connection.open()
        for run_id in dict.fromkeys(self.runs):
            with api_errors_as_step_error(self.connection.host):
                if kfp_client.get_run(run_id).state not in FINISHED:
                    kfp_client.terminate_run(run_id)
        for run_id in dict.fromkeys(self.runs):
            waiting.wait(self.connection, run_id, lambda _: None, self.poll)
            with api_errors_as_step_error(self.connection.host):
                kfp_client.delete_run(run_id)
        with suppress(ValueError), api_errors_as_step_error(self.connection.host):
            namespace = self.connection.namespace or None
            found = kfp_client.get_experiment(experiment_name=self.name, namespace=namespace)
            kfp_client.delete_experiment(found.experiment_id)
