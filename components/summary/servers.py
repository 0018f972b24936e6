"""The two servers that a summary talks to: the Kubernetes API, and a webhook."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from components.shared.environment import IN_CLUSTER
from components.shared.errors import StepError
from components.shared.outcome import Outcome

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
ATTEMPTS = 4  # where the server or the way to it is at fault
PAUSE = 1.0  # seconds, doubled for each further attempt
SILENCE = 10.0  # seconds without a byte that end an attempt
LIMIT = 60.0  # seconds for all attempts together
LARGEST = 64 * 2**20  # bytes of an answer


def call(method: str, url: str, attempts: int = ATTEMPTS, **options: Any) -> tuple[int, bytes]:
    """Calls a server, and again where it or the way to it is at fault, for a bounded time.

    Args:
        method: ``GET`` or ``POST``.
        url: The address.
        attempts: How often it is tried.
        options: As ``requests`` takes them.

    Returns:
        The status, and the answer's body, which is not read after a ``POST``.

    Raises:
        StepError: There is no whole answer; says why, without the address.
    """
    answers: SimpleQueue[tuple[int, bytes] | StepError] = SimpleQueue()
    # The timeout of a connection is one for each byte, of which a server may send many.
    call = threading.Thread(
        target=lambda: answers.put(_call(method, url, attempts, options)), daemon=True
    )
    call.start()
    try:
        answer = answers.get(timeout=LIMIT)
    except Empty:
        raise StepError(f"no whole answer within {LIMIT:g} s") from None
    if isinstance(answer, StepError):
        raise answer
    return answer


def _call(
    method: str, url: str, attempts: int, options: dict[str, Any]
) -> tuple[int, bytes] | StepError:
    retry = Retry(
        attempts - 1,
        backoff_factor=PAUSE,
        status_forcelist=(429, *range(500, 600)),
        allowed_methods=None,  # any
        raise_on_status=False,
    )
    body = b""
    try:
        with requests.Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=retry))
            answer = session.request(method, url, timeout=SILENCE, stream=True, **options)
            for part in answer.iter_content(2**20) if method == "GET" else ():
                body += part
                if len(body) > LARGEST:
                    return StepError(f"the answer has more than {LARGEST:,} bytes")
            return answer.status_code, body
    except ValueError:  # also of requests, with the address in the text
        return StepError("the address is not one of http(s)")
    except requests.RequestException as error:
        reason = getattr(error.args[0] if error.args else None, "reason", type(error).__name__)
        return StepError(str(reason).rpartition(": ")[2])


def read_workflow(run_id: str) -> dict[str, Any]:
    """Returns the Argo workflow of a run, as the pod that this runs in may see it.

    Raises:
        StepError: There is none, or it may not be read.
    """
    for workflow in _list("/apis/argoproj.io/v1alpha1", "workflows", run_id):
        return workflow
    raise StepError(f"the Kubernetes API has no workflow of the run {run_id}")


def read_outcomes(run_id: str) -> dict[str, Outcome]:
    """Returns what a run's steps say came of them, by the id of Argo's node.

    It is the termination message of a step's container, in the status of its pod.

    Raises:
        StepError: The pods may not be listed.
    """
    return dict(_outcomes(_list("/api/v1", "pods", run_id)))


def _outcomes(pods: list[dict[str, Any]]) -> Iterator[tuple[str, Outcome]]:
    for pod in pods:
        node = pod["metadata"].get("annotations", {}).get("workflows.argoproj.io/node-id", "")
        for container in pod["status"].get("containerStatuses", []):
            ended = container.get("state", {}).get("terminated") or {}
            outcome = Outcome.parse(ended.get("message", ""))
            if outcome and container["name"] == "main":
                yield node, outcome


def _list(api: str, kind: str, run_id: str) -> list[dict[str, Any]]:
    """Lists what belongs to a run, under the service account of the pod that this runs in."""
    host, port = os.environ.get(IN_CLUSTER), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (ACCOUNT / "token").is_file():
        raise StepError("this is not a pod of a cluster")
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    token, namespace = ((ACCOUNT / name).read_text().strip() for name in ("token", "namespace"))
    try:
        status, body = call(
            "GET",
            f"{server}{api}/namespaces/{namespace}/{kind}",
            params={"labelSelector": f"pipeline/runid={run_id}"},
            headers={"Authorization": f"Bearer {token}"},
            verify=str(ACCOUNT / "ca.crt"),
        )
        if status != requests.codes.ok:
            raise StepError(f"it answered {status}; deploy/rbac.yaml has the rights it takes")
        return list(json.loads(body)["items"])
    except StepError as error:
        raise StepError(f"the Kubernetes API does not list {kind}: {error}") from None
    except (ValueError, LookupError, TypeError):
        raise StepError(f"the Kubernetes API answers something else than {kind}") from None


def notify(webhook: str, text: str) -> str:
    """Posts ``{"text": …}`` as Slack takes it; never fails, since the run is over anyway.

    Args:
        webhook: The http(s) address, which is a secret.
        text: What to say.

    Returns:
        One line for people: whether the webhook has it, or why not; without the address.
    """
    return _tell("webhook", "POST", webhook, json={"text": text})


def beat(address: str) -> str:
    """Calls a heartbeat's address, which is a secret; never fails, and returns such a line, too."""
    return _tell("heartbeat", "GET", address)


def _tell(whom: str, method: str, address: str, **options: Any) -> str:
    try:
        status, _ = call(method, address, **options)
    except StepError as error:
        return f"warning: the {whom} was not told: {error}"
    if status >= requests.codes.bad_request:
        return f"warning: the {whom} was not told: it answered {status}"
    return f"Told the {whom}"
