"""An API server of Kubeflow Pipelines in miniature, over real HTTP."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Any, TypeVar

import kfp_server_api
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.json_server import Request, serve_json

TYPES: dict[str, Any] = {
    "NUMBER_INTEGER": int,
    "NUMBER_DOUBLE": (int, float),
    "STRING": str,
    "BOOLEAN": bool,
}


Fake = TypeVar("Fake", bound="FakeKfp")


class RefusedError(Exception):
    """A request the server answers with an error: status and message."""


@dataclass
class FakeKfp:
    """The server's state, and what it is to answer."""

    url: str = ""
    api: str = "/apis/v2beta1"
    raced: bool = False  # another creates an experiment, pipeline or version just before this one
    refuse: tuple[int, str] | None = None  # status and message for every request
    token: str = ""  # that requests must carry
    states: list[dict[str, str]] = field(default_factory=list)  # of the steps, a look at a run each
    outcome: str = "SUCCEEDED"
    fail_looks: set[int] = field(default_factory=set)  # looks at a run answered with 503
    page_size: int = 100
    web: bool = False  # the web server before the API server, which lets less by
    lost_answers: int = 0  # runs that are created, with an error for an answer
    lost_requests: int = 0  # runs that are not, likewise
    old: bool = False  # before 2.16: it does not know that the runs of a schedule are to stay
    experiments: list[dict] = field(default_factory=list)
    runs: list[dict] = field(default_factory=list)
    recurring: list[dict] = field(default_factory=list)
    pipelines: list[dict] = field(default_factory=list)
    versions: list[dict] = field(default_factory=list)  # of all pipelines, the newest last
    workflow: dict = field(default_factory=dict)  # of the run, as version 1 of the API shows it
    logs: dict[str, str] = field(default_factory=dict)  # by pod
    created: Counter[str] = field(default_factory=Counter)  # of each kind, the deleted ones too
    looks: int = 0
    on_look: Callable[[int], None] = lambda look: None  # called with the number of a look at a run

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """Returns the answer to a request, in JSON."""
        routes: dict[str, Callable] = {
            r"GET /healthz": lambda: {"multi_user": False, "tag_name": "2.17.0"},
            r"GET /experiments": lambda: {"experiments": self._named(self.experiments, query)},
            r"POST /experiments": lambda: self._create_experiment(body),
            r"POST /runs": lambda: self._create_run(body),
            r"POST /runs/(.+):terminate": self._terminate,
            r"GET /runs/(.+)": self._run,
            r"GET /runs": lambda: self._page("runs", self._runs_of(query), query),
            r"GET /apis/v1beta1/runs/(.+)": self._manifest,
            r"GET /apis/v1alpha1/runs/.+/nodes/(.+)/log": self._log,
            r"GET /k8s/pod/logs": lambda: self._log_through_the_page(query),
            r"GET /pipelines": lambda: {"pipelines": self._named(self.pipelines, query)},
            r"POST /pipelines": lambda: self._create_pipeline(body),
            r"POST /pipelines/upload_version": lambda: self._upload(query, body),
            r"GET /pipelines/(.+)/versions": lambda pipeline: self._page(
                "pipeline_versions", self._versions(pipeline), query
            ),
            r"GET /recurringruns": lambda: self._page("recurringRuns", self.recurring, query),
            r"POST /recurringruns": lambda: self._create(
                "V2beta1RecurringRun", self.recurring, body
            ),
            r"POST /recurringruns/(.+):(enable|disable)": self._switch,
            r"DELETE /recurringruns/(.+)": lambda schedule: self._delete(schedule, query),
        }
        for pattern, handle in routes.items():
            if match := re.fullmatch(pattern, f"{method} {path.removeprefix(self.api)}"):
                return handle(*match.groups())
        raise RefusedError(404, "Not Found")

    def _named(self, all_of_them: list[dict], query: dict[str, str]) -> list[dict]:
        (predicate,) = json.loads(query["filter"])["predicates"]
        name = predicate["stringValue"]
        return [found for found in all_of_them if found["display_name"] == name]

    def _create_pipeline(self, body: Any) -> dict:
        created = self._create("V2beta1Pipeline", self.pipelines, body)
        if self.raced:
            raise RefusedError(409, f"Already exist: {body['display_name']}")
        return created

    def _upload(self, query: dict[str, str], body: bytes) -> dict:
        *_, file = message_from_bytes(body).walk()
        spec, *others = yaml.safe_load_all(file.get_payload(decode=True))
        document = {"pipeline_spec": spec, "platform_spec": others[0]} if others else spec
        _check_run({"pipeline_spec": document, "runtime_config": {}})
        if any(version["display_name"] == query["name"] for version in self.versions):
            raise RefusedError(409, f"Already exist: {query['name']}")
        number = len(self.versions)
        version = {
            "pipeline_id": query["pipelineid"],
            "pipeline_version_id": f"version-{number}",
            "display_name": query["name"],
            "created_at": f"2026-01-01T00:00:{number:02}Z",
            "pipeline_spec": document,
        }
        self.versions.append(version)
        if self.raced:
            raise RefusedError(409, f"Already exist: {query['name']}")
        return version

    def _versions(self, pipeline: str) -> list[dict]:
        """All versions of a pipeline, the newest first."""
        return [v for v in reversed(self.versions) if v["pipeline_id"] == pipeline]

    def _document(self, started: dict) -> dict:
        """The pipeline of a run or a schedule: sent along, or the version that it refers to."""
        if "pipeline_spec" in started:
            return dict(started["pipeline_spec"])
        reference = started["pipeline_version_reference"]
        wanted = reference.get("pipeline_version_id")
        return next(
            version["pipeline_spec"]
            for version in self._versions(reference["pipeline_id"])
            if wanted in ("", None, version["pipeline_version_id"])
        )

    def _create_experiment(self, body: Any) -> dict:
        created = self._create("V2beta1Experiment", self.experiments, body)
        if self.raced:
            raise RefusedError(409, f"Already exist: {body['display_name']}")
        return created

    def _create_run(self, body: Any) -> dict:
        if self.lost_requests:
            self.lost_requests -= 1
            raise RefusedError(503, "upstream connect error")
        created = self._create("V2beta1Run", self.runs, body)
        if self.lost_answers:
            self.lost_answers -= 1
            raise RefusedError(503, "upstream connect error")
        return created

    def _terminate(self, run_id: str) -> dict:
        (found,) = [run for run in self.runs if run["run_id"] == run_id]
        found["state"] = "CANCELING"
        return {}

    def _create(self, model: str, into: list[dict], body: Any) -> dict:
        _check_model(model, body)
        if "runtime_config" in body:
            _check_run({**body, "pipeline_spec": self._document(body)})
        key = {
            "V2beta1Run": "run_id",
            "V2beta1Experiment": "experiment_id",
            "V2beta1Pipeline": "pipeline_id",
        }.get(model, "recurring_run_id")
        number = self._number(model)
        own = {"created_at": f"2026-01-01T00:00:{number:02}Z", "status": "ENABLED"}
        created = {**body, **own, key: f"{model}-{number}"}
        into.append(created)
        return {name: value for name, value in created.items() if name != "pipeline_spec"}

    def _number(self, kind: str) -> int:
        """Returns how many of a kind there were before: what is deleted leaves its number taken."""
        self.created[kind] += 1
        return self.created[kind] - 1

    def _run(self, run_id: str) -> dict:
        self.looks += 1
        self.on_look(self.looks)
        if self.looks in self.fail_looks:
            raise RefusedError(503, "upstream connect error")
        states = self.states[min(self.looks, len(self.states)) - 1] if self.states else {}
        over = self.looks >= len(self.states)
        tasks = [
            {
                "display_name": name,
                "state": state,
                **({"error": {"message": "exit code 1"}} if state == "FAILED" else {}),
            }
            for name, state in {"root-driver": "SUCCEEDED", **states}.items()
        ]
        found = [run for run in self.runs if run["run_id"] == run_id]
        if self.runs and not found:
            raise RefusedError(404, f"run {run_id} not found")
        return {
            **(found[0] if found else {}),
            "run_id": run_id,
            "created_at": "2026-01-01T00:00:00Z",
            "state": self.outcome if over else "RUNNING",
            "run_details": {"task_details": tasks},
        }

    def _manifest(self, run_id: str) -> dict:
        if not self.workflow:
            raise RefusedError(404, "Not Found")
        manifest = json.dumps(self.workflow)
        return {"run": {"id": run_id}, "pipeline_runtime": {"workflow_manifest": manifest}}

    def _log_through_the_page(self, query: dict[str, str]) -> str:
        if query["podnamespace"] != "kubeflow" or query["podname"] not in self.logs:
            raise RefusedError(500, "Could not get main container logs: Error: pod not found")
        return self.logs[query["podname"]]

    def _log(self, pod: str) -> str:
        if self.web:
            raise RefusedError(404, "Cannot GET")
        # The server has sent the status before it knows whether there is a log.
        missing = json.dumps({"error_message": f"failed to get pod {pod}", "error_details": "…"})
        return self.logs.get(pod, missing)

    def _page(self, name: str, found: list[dict], query: dict[str, str]) -> dict:
        start = int(query.get("page_token") or 0)
        end = start + self.page_size
        more = {"next_page_token": str(end)} if end < len(found) else {}
        return {name: found[start:end], **more}

    def _runs_of(self, query: dict[str, str]) -> list[dict]:
        if experiment := query.get("experiment_id"):
            assert query["sort_by"] == "created_at desc"
            found = [r for r in self.runs if r.get("experiment_id") == experiment]
            for predicate in json.loads(query.get("filter", "{}")).get("predicates", []):
                assert (predicate["operation"], predicate["key"]) == (
                    "IS_SUBSTRING",
                    "display_name",
                )
                found = [r for r in found if predicate["stringValue"] in r["display_name"]]
            return sorted(found, key=lambda run: str(run["created_at"]), reverse=True)
        (predicate,) = json.loads(query["filter"])["predicates"]
        assert predicate["operation"] == "EQUALS"
        return [r for r in self.runs if r.get(predicate["key"]) == predicate["stringValue"]]

    def start(self, schedule: dict, due: str) -> dict:
        """Starts a run of a schedule, as the backend does when one is due.

        What a task gets is among the run's ``inputs``, by task and parameter.
        """
        number = self._number("run")
        document = self._document(schedule)
        run = {
            "run_id": f"run-{number}",
            "recurring_run_id": schedule["recurring_run_id"],
            "display_name": f"{schedule['display_name']}-{number}",
            "state": "RUNNING",
            "created_at": due,
            "inputs": _inputs(
                document.get("pipeline_spec", document),
                schedule["runtime_config"].get("parameters", {}),
                due,
            ),
        }
        self.runs.append(run)
        return run

    def _switch(self, schedule: str, action: str) -> dict:
        (found,) = [each for each in self.recurring if each["recurring_run_id"] == schedule]
        found["status"] = action.upper() + "D"
        return {}

    def _delete(self, schedule: str, query: dict[str, str]) -> dict:
        self.recurring = [e for e in self.recurring if e["recurring_run_id"] != schedule]
        for run in self.runs:
            if run.get("recurring_run_id") == schedule and run["state"] == "RUNNING":
                # Its workflow goes with its owner, and nobody is left to report how it ended.
                run["killed"] = query.get("propagation_policy") != "ORPHAN" or self.old
        return {}


def _inputs(spec: dict, parameters: dict[str, Any], due: str) -> dict[str, dict[str, Any]]:
    """Returns what each task of a recurring run gets for its parameters, as the driver has it."""
    found: dict[str, dict[str, Any]] = {}

    def resolve(given: dict[str, Any], outer: dict[str, Any]) -> Any:
        if "componentInputParameter" in given:
            return outer.get(given["componentInputParameter"])
        constant = given.get("runtimeValue", {}).get("constant")
        # Only a constant is replaced: in a parameter of the run this and [[ScheduledTime]] stay.
        return due if constant == "{{$.pipeline_job_schedule_time_utc}}" else constant

    def walk(component: dict, values: dict[str, Any]) -> None:
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            given = task.get("inputs", {}).get("parameters", {})
            found[name] = {key: resolve(value, values) for key, value in given.items()}
            walk(spec["components"][task["componentRef"]["name"]], found[name])

    defined = spec["root"]["inputDefinitions"]["parameters"]
    defaults = {name: parameter.get("defaultValue") for name, parameter in defined.items()}
    walk(spec["root"], defaults | parameters)
    return found


def _check_model(model: str, body: Any) -> None:
    """Refuses a body with fields that the API's model does not have."""
    client = kfp_server_api.ApiClient()
    parsed = client._ApiClient__deserialize(body, model)
    kept = client.sanitize_for_serialization(parsed)
    if extra := body.keys() - kept.keys():
        raise RefusedError(400, f"unknown fields {sorted(extra)}")


def _check_run(body: dict) -> None:
    """Refuses what the API server would: a bad specification, unknown or mistyped parameters."""
    document = body["pipeline_spec"]
    spec = json_format.ParseDict(
        document.get("pipeline_spec", document), pipeline_spec_pb2.PipelineSpec()
    )
    json_format.ParseDict(document.get("platform_spec", {}), pipeline_spec_pb2.PlatformSpec())
    known = spec.root.input_definitions.parameters
    for name, value in body["runtime_config"].get("parameters", {}).items():
        if name not in known:
            raise RefusedError(400, f"unknown parameter {name}")
        kind = pipeline_spec_pb2.ParameterType.ParameterTypeEnum.Name(known[name].parameter_type)
        if not isinstance(value, TYPES[kind]):
            raise RefusedError(400, f"parameter {name}: {value!r} is no {kind}")


@contextmanager
def serve() -> Iterator[FakeKfp]:
    """Runs the server on a free port."""
    with serving(FakeKfp()) as fake:
        yield fake


@contextmanager
def serving(fake: Fake) -> Iterator[Fake]:
    """Runs a server on a free port."""

    def answer(request: Request) -> tuple[int, Any]:
        try:
            if fake.refuse:
                raise RefusedError(*fake.refuse)
            if fake.token and request.authorization != f"Bearer {fake.token}":
                raise RefusedError(401, "Unauthenticated")
            return 200, fake.answer(request.method, request.path, request.query, request.body)
        except RefusedError as refused:
            return refused.args[0], {"message": refused.args[1]}

    with serve_json(answer) as fake.url:
        yield fake
