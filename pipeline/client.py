"""Runs on a cluster, through ``kfp.Client``."""

import contextlib
import io
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
import urllib3
import yaml

from components.shared.addresses import shown
from components.shared.errors import StepError

FINISHED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
STEP_NAMES = ("ingest", "train", "evaluate", "push", "summary")
LOST_CALLS = 5  # polls that may fail in a row before waiting is given up


@dataclass(frozen=True)
class Connection:
    """How to reach a KFP API server."""

    host: str
    token: str = ""  # bearer token
    cookies: str = ""
    namespace: str = ""  # of a multi-user installation

    @property
    def address(self) -> str:
        """The server's address as people may see it."""
        return shown(self.host.rstrip("/"))

    def open(self) -> kfp.Client:
        """Connects.

        Raises:
            StepError: The server cannot be reached, refuses, or is too old.
        """
        with explained(self.host):
            self._check_health()
            return kfp.Client(
                host=self.host,
                existing_token=self.token or None,
                cookies=self.cookies or None,
                namespace=self.namespace or "kubeflow",  # kfp's own default: none
            )

    def _check_health(self) -> None:
        # Before kfp.Client, which asks five times, five seconds apart, and prints tracebacks.
        configuration = kfp_server_api.Configuration(host=self.host.rstrip("/"))
        configuration.retries = False
        if self.token:
            configuration.api_key["authorization"] = self.token
            configuration.api_key_prefix["authorization"] = "Bearer"
        with kfp_server_api.ApiClient(configuration, cookie=self.cookies or None) as client:
            kfp_server_api.HealthzServiceApi(client).healthz_service_get_healthz()


@contextlib.contextmanager
def explained(host: str) -> Iterator[None]:
    """Turns what the API says, or that it says nothing, into a StepError; kfp's chatter is cut.

    Raises:
        StepError: One line on what the server answered, and what to do.
    """
    server = shown(host)

    def without_it(said: object) -> str:
        return str(said).replace(host, server)

    advice = {
        401: "it does not know you; give --token or --cookies",
        403: "you may not do that; give the right --namespace, or ask for the right",
        404: "no such thing there; check that --host is Kubeflow Pipelines 2.0 or later",
    }
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except kfp_server_api.ApiException as error:
        if not error.status:
            raise StepError(f"{server}: {without_it(error.reason)}") from None
        said = _message(error)
        hint = advice.get(error.status, "")
        raise StepError(
            ": ".join(filter(None, [server, f"HTTP {error.status} {error.reason}", said, hint]))
        ) from None
    except (urllib3.exceptions.HTTPError, OSError, TimeoutError) as error:
        reason = without_it(getattr(error, "reason", None) or error).splitlines()[0]
        raise StepError(
            f"{server}: cannot be reached ({reason}); check --host, or forward its port first"
        ) from None
    except ValueError as error:
        raise StepError(f"{server}: {without_it(error)}") from None


def _message(error: kfp_server_api.ApiException) -> str:
    try:
        said = json.loads(error.body or "")["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return " ".join(str(said).split())


def inputs(package: Path) -> set[str]:
    """Returns the names of a compiled pipeline's parameters.

    Raises:
        StepError: The file is no compiled pipeline.
    """
    try:
        spec = next(yaml.safe_load_all(package.read_text(encoding="utf-8")))
        return set(spec["root"]["inputDefinitions"]["parameters"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
        raise StepError(
            f"{package}: no compiled pipeline ({type(error).__name__}); run 'make compile'"
        ) from None


@dataclass(frozen=True)
class Request:
    """What to run."""

    package: Path  # the compiled pipeline
    parameters: dict[str, Any]
    experiment: str
    name: str
    service_account: str = ""


def submit(connection: Connection, request: Request) -> tuple[str, str]:
    """Starts a run.

    Returns:
        Its id, and the address of its page.

    Raises:
        StepError: The server cannot be reached or refuses.
    """
    client = connection.open()
    with explained(connection.host):
        experiment = client.create_experiment(
            request.experiment, namespace=connection.namespace or None
        )
        run = client.run_pipeline(
            experiment.experiment_id,
            request.name,
            str(request.package),
            request.parameters,
            service_account=request.service_account or None,
        )
    return run.run_id, f"{connection.address}/#/runs/details/{run.run_id}"


def wait(
    connection: Connection, run_id: str, show: Callable[[str], None], seconds: float
) -> tuple[str, str]:
    """Waits until a run is over.

    Args:
        connection: The server.
        run_id: The run.
        show: Called with a line whenever a step's state changes.
        seconds: Time between two looks.

    Returns:
        The run's state and, where it did not succeed, why.

    Raises:
        StepError: The server was lost for several looks in a row; the run goes on.
    """
    client = connection.open()
    states: dict[str, str] = {}
    lost = 0
    while True:
        try:
            with explained(connection.host):
                run = client.get_run(run_id)
            lost = 0
        except StepError as error:
            lost += 1
            if lost == LOST_CALLS:
                raise StepError(f"{error}; the run {run_id} goes on") from None
            time.sleep(seconds)
            continue
        for task in _steps(run):
            if task.state and states.get(task.display_name) != task.state:
                states[task.display_name] = task.state
                show(f"{task.display_name:>8} | {task.state.lower()}")
        if run.state in FINISHED:
            return run.state, _why(run)
        time.sleep(seconds)


def _steps(run: Any) -> list[Any]:
    tasks = (run.run_details and run.run_details.task_details) or []
    # The backend lists its own drivers and groups among the tasks.
    return [task for task in tasks if task.display_name in STEP_NAMES]


def _why(run: Any) -> str:
    failed = [task for task in _steps(run) if task.state == "FAILED"]
    problems = [
        f"{task.display_name} failed" + (f": {task.error.message}" if task.error else "")
        for task in failed
    ]
    if not problems and run.error:
        problems.append(str(run.error.message))
    return "; ".join(problems)
