"""Looks after a run on a cluster until it is over, and says how it ended."""

import contextlib
import json
import re
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import kfp_server_api
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from components.shared.errors import StepError
from components.summary.run_summary import RunSummary, StepState
from components.summary.workflow import STEPS, pending_pods, pods_of, steps_of, terminated
from pipeline.remote.client import FINISHED, AwayError, Connection, api_errors_as_step_error

PATIENCE = 900.0  # seconds that a server may be away, as while it starts anew
LONGEST_PAUSE = 30.0  # seconds between two looks for it
PENDING_LOOK = 10.0  # seconds between two looks for pods that do not start
PENDING_SHOWN = 30.0  # seconds that a pod may take to start before its reason is shown
LAST_LINES = 10  # of a failed step's log that are shown
LAUNCHER = re.compile(r"[IWEF]\d{4} ")  # how a line of KFP's launcher begins
PHASES = {"SUCCEEDED": "Succeeded", "FAILED": "Failed", "SKIPPED": "Skipped", "RUNNING": "Running"}

T = TypeVar("T")


def patiently(call: Callable[[], T], seconds: float) -> T:
    """Calls again and again while the server is away, first after ``seconds``, then ever later.

    Raises:
        AwayError: It stays away for too long.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(AwayError),
        wait=wait_exponential(multiplier=seconds, max=LONGEST_PAUSE),
        stop=stop_after_delay(PATIENCE),
        reraise=True,
    )
    return retrying(call)


@dataclass
class _PendingPods:
    """The pods of a run that do not start: says why, and for how long that is borne."""

    connection: Connection
    run_id: str
    show: Callable[[str], None]
    timeout: float  # seconds; 0: any time
    requests: Mapping[str, str]  # what a step's pod asks a node for
    since: dict[str, float] = field(default_factory=dict)  # by step
    shown: set[tuple[str, str]] = field(default_factory=set)  # step and message
    looked: float = 0.0

    def look(self) -> None:
        """Looks for them, not too often.

        Raises:
            StepError: One has waited for too long.
        """
        now = time.monotonic()
        if now - self.looked < PENDING_LOOK:
            return
        self.looked = now
        with self.connection.api() as api, api_errors_as_step_error(self.connection.host):
            workflow = workflow_of(api, self.run_id)
        pending = pending_pods(workflow) if workflow else {}
        self.since = {step: self.since.get(step, now) for step in pending}
        for step, message in pending.items():
            self._complain(step, message or "no reason is known", now - self.since[step])

    def _complain(self, step: str, message: str, waited: float) -> None:
        if waited >= PENDING_SHOWN and (step, message) not in self.shown:
            self.shown.add((step, message))
            self.show(f"{step:>8} | its pod waits: {message}")
            if "Insufficient" in message and step in self.requests:
                self.show(f"{step:>8} | it asks a node for {self.requests[step]}; see compile -h")
        if self.timeout and waited >= self.timeout:
            reason = textwrap.shorten(message, 100, placeholder="…")
            raise StepError(f"{step}: its pod has waited for {waited:.0f} s ({reason})")


def wait(
    connection: Connection,
    run_id: str,
    show: Callable[[str], None],
    seconds: float,
    pending_timeout: float = 0,
    requests: Mapping[str, str] | None = None,
) -> RunSummary:
    """Waits until a run is over.

    Args:
        connection: The server.
        run_id: The run.
        show: Called with a line whenever a step's state changes, and with the last of a failed
            step's log.
        seconds: Time between two looks.
        pending_timeout: Seconds that a pod may take to start; 0: any time.
        requests: What each step's pod asks a node for.

    Returns:
        How it ended.

    Raises:
        StepError: The server was away for too long or refuses, or a pod does not start; the run
            goes on.
    """
    client = connection.open()
    states: dict[str, str] = {}
    pending = _PendingPods(connection, run_id, show, pending_timeout, requests or {})

    def look() -> Any:
        with api_errors_as_step_error(connection.host):
            return client.get_run(run_id)

    try:
        while True:
            run = patiently(look, seconds)
            for task in _tasks(run):
                if task.state and states.get(task.display_name) != task.state:
                    states[task.display_name] = task.state
                    show(f"{task.display_name:>8} | {task.state.lower()}")
            if run.state in FINISHED:
                break
            patiently(pending.look, seconds)
            time.sleep(seconds)
    except StepError as error:
        raise StepError(f"{error}; the run {run_id} goes on") from None
    ended, log = patiently(lambda: _summary(connection, run), seconds)
    if ended.step:
        own = [line for line in log.splitlines() if not LAUNCHER.match(line)]
        for line in own[-LAST_LINES:]:
            show(f"{ended.step.name:>8} | {line}")
    return ended


def _tasks(run: Any) -> list[Any]:
    tasks = (run.run_details and run.run_details.task_details) or []
    # The backend lists its own drivers and groups among the tasks.
    return [task for task in tasks if task.display_name in (*STEPS, "summary")]


def _summary(connection: Connection, run: Any) -> tuple[RunSummary, str]:
    """Reads how a run ended, and the log of the step that it ended in, if any.

    What came of the steps lies with their pods, which this API does not show: of a failure, the
    workflow's messages have it; of a success, the log of the summary, which has read the pods.
    """
    with connection.api() as api, api_errors_as_step_error(connection.host):
        workflow = workflow_of(api, run.run_id)
        if workflow:
            ended = RunSummary.of(steps_of(workflow), terminated(workflow))
        else:
            phases = {t.display_name: PHASES.get(t.state, t.state or "") for t in _tasks(run)}
            ended = RunSummary.of(StepState(name, phases[name]) for name in STEPS if name in phases)
        decisive = ended.step.name if ended.step else "summary"
        attempts = list(pods_of(workflow, decisive)) if workflow else []
        log = log_of(api, workflow, attempts[-1]) if attempts else ""
    succeeded = run.state == "SUCCEEDED"
    if ended.state == "unknown" or ended.succeeded != succeeded:
        state: Literal["succeeded", "failed"] = "succeeded" if succeeded else "failed"
        return RunSummary(state, f"Run {run.state.lower()}"), ""
    said = re.findall(rf"^(Run .*) \(run {re.escape(run.run_id)}.*\)$", log, re.MULTILINE)
    if succeeded and said:
        ended = RunSummary(ended.state, said[-1])
    return ended, log


def workflow_of(api: kfp_server_api.ApiClient, run_id: str) -> dict[str, Any]:
    """Returns the run's workflow, which only version 1 of the API shows; {} where it does not."""
    try:
        found = json.loads(_get(api, f"/apis/v1beta1/runs/{run_id}"))
        return dict(json.loads(found["pipeline_runtime"]["workflow_manifest"]))
    except (kfp_server_api.ApiException, ValueError, LookupError, TypeError) as error:
        if getattr(error, "status", None) in (0, 500, 502, 503, 504):
            raise
        return {}


def log_of(api: kfp_server_api.ApiClient, workflow: dict[str, Any], pod: str) -> str:
    """Returns the log of a step's pod; empty where there is none any more."""
    about = workflow["metadata"]
    run_id = about["labels"]["pipeline/runid"]
    query = {"podname": pod, "runid": run_id, "podnamespace": about["namespace"]}
    for path, parameters in (
        (f"/apis/v1alpha1/runs/{run_id}/nodes/{pod}/log", {}),
        ("/k8s/pod/logs", query),  # of the web server before it, which does not let the other by
    ):
        with contextlib.suppress(kfp_server_api.ApiException):
            log = _get(api, path, parameters)
            # Where the server has no log, it tells so in its place; a page is no log either.
            if not log.startswith(('{"error_message"', "<!")):
                return log
    return ""


def _get(api: kfp_server_api.ApiClient, path: str, query: dict[str, str] | None = None) -> str:
    answer = api.call_api(
        path,
        "GET",
        query_params=list((query or {}).items()),
        auth_settings=["Bearer"],
        _preload_content=False,
        _return_http_data_only=True,
    )
    return str(answer.data.decode(errors="replace"))
