"""A Kubernetes API in miniature, over real HTTP: TrainJobs, and the pods and log of one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob as TrainJob

from tests.json_server import Request, serve_json

JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/team/trainjobs"
PODS = "/api/v1/namespaces/team/pods"


@dataclass
class FakeKubernetes:
    """The API's state, and what the cluster makes of a TrainJob."""

    url: str = ""
    jobs: dict[str, dict] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    bodies: list[dict] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    forbidden: bool = False
    # Looks at a job until it ends, and how it ends; a job created anew takes the next.
    outcomes: list[tuple[int, str]] = field(default_factory=lambda: [(2, "Complete")])
    logs: list[str] = field(default_factory=lambda: [""])  # at each look, the last again and again
    log_reads: int = 0
    looked: threading.Event = field(default_factory=threading.Event)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Returns status and answer of a request."""
        if self.forbidden:
            return 403, {"message": "forbidden"}
        if path == PODS:
            assert "job-completion-index=0" in query["labelSelector"]
            return 200, {"items": [{"metadata": {"name": "pod-0"}}] if self.jobs else []}
        if path == f"{PODS}/pod-0/log":
            self.log_reads += 1
            return 200, self.logs[min(self.log_reads, len(self.logs)) - 1]
        if path == JOBS and method == "POST":
            return self._create(body)
        name = path.removeprefix(f"{JOBS}/")
        if name not in self.jobs:
            return 404, {"message": "not found"}
        if method == "DELETE":
            self.deleted.append(name)
            return 200, self.jobs.pop(name)
        return 200, self._look(self.jobs[name])

    def _create(self, body: dict) -> tuple[int, Any]:
        # The models are made from the schema of the CRD, and drop what that does not know.
        assert TrainJob.from_dict(body).to_dict() == body
        name = body["metadata"]["name"]
        if name in self.jobs:
            return 409, {"message": "already exists"}
        self.created.append(name)
        self.bodies.append(body)
        self.jobs[name] = {**body, "looks": 0}
        return 201, body

    def _look(self, job: dict) -> dict:
        job["looks"] += 1
        if job["looks"] >= 2:
            self.looked.set()
        looks, outcome = self.outcomes[min(len(self.created), len(self.outcomes)) - 1]
        if job["looks"] < looks:
            return job
        condition = {"type": outcome, "status": "True", "message": "as told"}
        return {**job, "status": {"conditions": [condition]}}


@contextmanager
def serve() -> Iterator[FakeKubernetes]:
    """Runs the API on a free port."""
    fake = FakeKubernetes()

    def answer(request: Request) -> tuple[int, Any]:
        return fake.answer(request.method, request.path, request.query, request.body)

    with serve_json(answer) as fake.url:
        yield fake
