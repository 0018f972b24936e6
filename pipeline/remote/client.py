"""Runs on a cluster, through ``kfp.Client``."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kfp_server_api
import urllib3
from kfp.client import Client, ServiceAccountTokenVolumeCredentials

from components.shared.addresses import redacted
from components.shared.errors import StepError
from pipeline.compile import Package

FINISHED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
# What a server that starts anew, or the way to it, answers.
AWAY = (429, 500, 502, 503, 504)
PAGE = 100

CONFLICT = 409
# It warns of each of its retries; what comes of them is an error of one line.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


class AwayError(StepError):
    """The server does not answer, or not now: asking again may help."""


@dataclass(frozen=True)
class Connection:
    """How to reach a KFP API server."""

    host: str
    token: str = ""  # bearer token
    token_file: str = ""  # that holds it, read anew for every request: a cluster replaces it
    cookies: str = ""
    namespace: str = ""  # of a multi-user installation

    @property
    def address(self) -> str:
        """The server's address as people may see it."""
        return redacted(self.host.rstrip("/"))

    def open(self) -> Client:
        """Connects.

        Raises:
            StepError: The server cannot be reached, refuses, or is too old.
        """
        with api_errors_as_step_error(self.host):
            self._check_health()
            return Client(
                host=self.host,
                existing_token=None if self.token_file else self.token or None,
                credentials=self._credentials(),
                cookies=self.cookies or None,
                namespace=self.namespace or "kubeflow",  # kfp's own default: none
            )

    def _check_health(self) -> None:
        # Before kfp.Client, which asks five times, five seconds apart, and prints tracebacks.
        with self.api() as api:
            kfp_server_api.HealthzServiceApi(api).healthz_service_get_healthz()

    def _credentials(self) -> ServiceAccountTokenVolumeCredentials | None:
        return ServiceAccountTokenVolumeCredentials(self.token_file) if self.token_file else None

    def api(self) -> kfp_server_api.ApiClient:
        """Returns the API itself, for what ``kfp.Client`` has no method for."""
        configuration = kfp_server_api.Configuration(host=self.host)
        configuration.retries = False
        if self.token or self.token_file:
            configuration.api_key["authorization"] = self.token
            configuration.api_key_prefix["authorization"] = "Bearer"
        if credentials := self._credentials():
            configuration.refresh_api_key_hook = credentials.refresh_api_key_hook
        return kfp_server_api.ApiClient(configuration, cookie=self.cookies or None)


@contextlib.contextmanager
def api_errors_as_step_error(host: str) -> Iterator[None]:
    """Turns what the API says, or that it says nothing, into a StepError; kfp's chatter is cut.

    Raises:
        StepError: One line on what the server answered, and what to do.
    """
    server = redacted(host)

    def redact(text: object) -> str:
        return str(text).replace(host, server)

    advice = {
        401: "it does not know you; give --token, --token-file or --cookies",
        403: "you may not do that; give the right --namespace, or ask for the right",
        404: "no such thing there; check that --host is Kubeflow Pipelines 2.0 or later",
    }
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except kfp_server_api.ApiException as error:
        if not error.status:
            raise AwayError(f"{server}: {redact(error.reason)}") from None
        status, hint = f"HTTP {error.status} {error.reason}", advice.get(error.status, "")
        line = ": ".join(filter(None, [server, status, _message(error), hint]))
        raise (AwayError if error.status in AWAY else StepError)(line) from None
    except (urllib3.exceptions.HTTPError, OSError, TimeoutError) as error:
        reason = redact(getattr(error, "reason", None) or error).splitlines()[0]
        raise AwayError(
            f"{server}: cannot be reached ({reason}); check --host, or forward its port first"
        ) from None
    except ValueError as error:
        raise StepError(f"{server}: {redact(error)}") from None


def _message(error: kfp_server_api.ApiException) -> str:
    try:
        message = json.loads(error.body or "")["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return " ".join(str(message).split())


def pages(
    connection: Connection, list_page: Callable[..., Any], field: str, **query: Any
) -> list[Any]:
    """Returns what the server lists, of all its pages.

    Args:
        connection: The server.
        list_page: The client's method that gets one page.
        field: Where the page has its entries.
        query: The rest of what the method takes.
    """
    found: list[Any] = []
    token = ""
    while True:
        with api_errors_as_step_error(connection.host):
            page = list_page(page_token=token, page_size=PAGE, **query)
        found += getattr(page, field) or []
        token = page.next_page_token or ""
        if not token:
            return found


@dataclass(frozen=True)
class Request:
    """What to run."""

    package: Package  # the compiled pipeline
    parameters: dict[str, Any]
    experiment: str
    name: str
    service_account: str = ""
    # The pipeline_id and version_id of one that the server has; a version that is empty is the
    # newest whenever a run is made. None: the package is sent along.
    uploaded: dict[str, str] | None = None

    @contextlib.contextmanager
    def source(self) -> Iterator[dict[str, str]]:
        """Yields how ``kfp.Client`` is to be given the pipeline: its arguments, by name."""
        if self.uploaded:
            yield self.uploaded
            return
        with TemporaryDirectory() as scratch:
            file = Path(scratch) / "pipeline.yaml"
            self.package.write(file)
            yield {"pipeline_package_path": str(file)}


def find_or_create_experiment(client: Client, name: str, namespace: str) -> Any:
    """Returns an experiment; another submission may create it at this moment."""
    try:
        return client.create_experiment(name, namespace=namespace or None)  # or finds it
    except kfp_server_api.ApiException as error:
        if error.status != CONFLICT:
            raise
        return client.create_experiment(name, namespace=namespace or None)


def submit(connection: Connection, request: Request) -> tuple[str, str]:
    """Starts a run.

    Returns:
        Its id, and the address of its page.

    Raises:
        StepError: The server cannot be reached or refuses.
    """
    client = connection.open()
    with api_errors_as_step_error(connection.host), request.source() as source:
        experiment = find_or_create_experiment(client, request.experiment, connection.namespace)
        run = client.run_pipeline(
            experiment.experiment_id,
            request.name,
            params=request.parameters,
            service_account=request.service_account or None,
            **source,
        )
    return run.run_id, f"{connection.address}/#/runs/details/{run.run_id}"
