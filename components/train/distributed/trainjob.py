"""Trains on several nodes: makes the TrainJob, watches it, brings its model home.

Source of the TrainJob: https://www.kubeflow.org/docs/components/trainer/, API
trainer.kubeflow.org/v1alpha1 as of Kubeflow Trainer 2.3.
"""

import dataclasses
import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes import client, config
from pydantic.dataclasses import dataclass

from components.config import Train
from components.shared.environment import COMMIT, RENDEZVOUS_TOKEN
from components.shared.errors import StepError, log_line
from components.shared.manifests import Dataset, Model
from components.shared.process import sigterm_exits
from components.shared.storage import atomic_directory
from components.train.distributed.cluster import JOB

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
RUNTIME = "mnist-train"  # deploy/training-runtime.yaml
MANAGER = "mnist-pipeline.kubeflow.org/train"  # whose patches of the runtime these are
NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
CHIEF = "jobset.sigs.k8s.io/jobset-name={},batch.kubernetes.io/job-completion-index=0"


@dataclass(frozen=True)
class Settings:
    """What each pod of the TrainJob gets; handed to the train step in its environment."""

    nodes: int
    image: str
    pvc: str
    pvc_path: str
    cpu: str
    memory: str
    gpus: int
    gpu_type: str
    shm: str
    timeout: int  # seconds
    node_selector: dict[str, str]
    tolerations: list[dict[str, str]]
    labels: dict[str, str]
    annotations: dict[str, str]
    commit: str = ""  # that the image was built at, where that is known


def manifest(name: str, settings: Settings, arguments: list[str]) -> dict[str, Any]:
    """Returns the TrainJob as the Kubernetes API takes it.

    Args:
        name: Its name.
        settings: What its pods get.
        arguments: Those of ``python -m components.train``.
    """
    resources = {"cpu": settings.cpu, "memory": settings.memory}
    limits = {"memory": settings.memory}
    if settings.gpus:
        limits[settings.gpu_type] = resources[settings.gpu_type] = str(settings.gpus)
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {"name": name},
        "spec": {
            "runtimeRef": {"apiGroup": GROUP, "kind": "TrainingRuntime", "name": RUNTIME},
            "activeDeadlineSeconds": settings.timeout,
            "trainer": {
                "image": settings.image,
                "numNodes": settings.nodes,
                "command": ["python", "-m", "components.train.distributed"],
                "args": arguments,
                "env": [
                    {"name": "TRAINJOB", "value": name},
                    {"name": "TRAINJOB_NODES", "value": str(settings.nodes)},
                    # Good for this job alone; whoever may read the job may read its data as well.
                    {"name": RENDEZVOUS_TOKEN, "value": secrets.token_hex(16)},
                    {"name": COMMIT, "value": settings.commit},
                ],
                "resourcesPerNode": {"requests": resources, "limits": limits},
            },
            "runtimePatches": [
                {
                    "manager": MANAGER,
                    "trainingRuntimeSpec": {
                        "template": {"spec": {"replicatedJobs": [_job(settings)]}}
                    },
                }
            ],
        },
    }


def _job(settings: Settings) -> dict[str, Any]:
    shm = {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": settings.shm}}
    claim = {"name": "workspace", "persistentVolumeClaim": {"claimName": settings.pvc}}
    pod = {
        "nodeSelector": settings.node_selector,
        "tolerations": settings.tolerations,
        "volumes": [claim, shm],
        "containers": [
            {
                "name": JOB,
                "volumeMounts": [
                    {"name": "workspace", "mountPath": settings.pvc_path},
                    {"name": "shm", "mountPath": "/dev/shm"},
                ],
            }
        ],
    }
    marks = {"labels": settings.labels, "annotations": settings.annotations}
    return {"name": JOB, "template": {"spec": {"template": {"metadata": marks, "spec": pod}}}}


def launch(settings: str, training: Train, examples: Path, output: Path, directory: Path) -> Model:
    """Trains on several nodes, which share the volume that ``directory`` is on.

    Args:
        settings: What each pod gets, as JSON, from the compiled pipeline.
        training: How to train.
        examples: The directory that ingest wrote.
        output: The model directory; it appears whole or not at all.
        directory: The run's own directory on the volume, the same for every attempt. From it the
            TrainJob has its name, so that a retried step finds the job.

    Returns:
        The manifest, also in ``output``.

    Raises:
        StepError: The TrainJob failed, or the API refuses; says why.
    """
    shared_examples, model = directory / "examples", directory / "model"
    # A job to be adopted reads its data already: it is not to be replaced under it.
    there = (shared_examples / Dataset.FILE).exists()
    if not there or Dataset.read(shared_examples) != Dataset.read(examples):
        with atomic_directory(shared_examples, Dataset.FILE) as copy:
            shutil.copytree(examples, copy, dirs_exist_ok=True)
    arguments = [
        *("--examples", str(shared_examples), "--model", str(model)),
        *("--logs", str(directory / "logs"), *_options(training)),
    ]
    name = "mnist-" + hashlib.sha256(str(directory).encode()).hexdigest()[:16]
    job = TrainJob(*_in_cluster(), manifest(name, Settings(**json.loads(settings)), arguments))
    job.run()
    with atomic_directory(output, Model.FILE) as copy:
        shutil.copytree(model, copy, dirs_exist_ok=True)
    job.remove()  # else another run with this directory would take it for its own
    return Model.read(output)


def _in_cluster() -> tuple[client.ApiClient, str]:
    """Returns a connection to the Kubernetes API, and the namespace, of the pod this runs in."""
    config.load_incluster_config()
    return client.ApiClient(), NAMESPACE.read_text(encoding="utf-8").strip()


def _options(training: Train) -> Iterator[str]:
    for name, value in dataclasses.asdict(training).items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        else:
            yield f"--{option}={value}"


class TrainJob:
    """A TrainJob on the cluster, and what of its log has been shown.

    Args:
        api: The connection to the Kubernetes API.
        namespace: Where the TrainJob lives.
        job: The TrainJob, as the API takes it.
        seconds: Time between two looks.
    """

    def __init__(
        self, api: client.ApiClient, namespace: str, job: dict[str, Any], seconds: float = 5.0
    ) -> None:
        self._jobs = client.CustomObjectsApi(api)
        self._pods = client.CoreV1Api(api)
        self._namespace = namespace
        self._job = job
        self._name = job["metadata"]["name"]
        self._resource = {
            "group": GROUP,
            "version": VERSION,
            "plural": PLURAL,
            "namespace": namespace,
        }
        self._seconds = seconds
        self._shown = 0  # lines of the chief's log

    def run(self) -> None:
        """Starts or adopts the TrainJob and waits for its end, showing the chief's log.

        Raises:
            StepError: It failed, or the API refuses.
        """
        try:
            with sigterm_exits(), self._removed_when_interrupted():
                self._start()
                while not (ended := self._condition()):
                    self._show_log()
                    time.sleep(self._seconds)
                self._show_log()
        except client.ApiException as error:
            raise StepError(
                f"TrainJob {self._name}: the Kubernetes API answered {error.status} "
                f"{error.reason}; see deploy/ for the rights and the runtime it needs"
            ) from None
        state, why = ended
        if state == "Failed":
            raise StepError(f"TrainJob {self._name} failed: {why}; see its log above")

    def _start(self) -> None:
        try:
            self._jobs.create_namespaced_custom_object(body=self._job, **self._resource)
            print(f"Started TrainJob {self._name}", flush=True)
        except client.ApiException as error:
            if error.status != 409:
                raise
            if (self._condition() or ("",))[0] == "Failed":  # of the attempt before: once more
                self.remove()
                self._start()
            else:
                print(f"Going on with TrainJob {self._name}", flush=True)

    def _condition(self) -> tuple[str, str] | None:
        found = self._jobs.get_namespaced_custom_object(name=self._name, **self._resource)
        for condition in found.get("status", {}).get("conditions", []):
            if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
                return condition["type"], condition.get("message", "")
        return None

    def _show_log(self) -> None:
        pods = self._pods.list_namespaced_pod(
            self._namespace, label_selector=CHIEF.format(self._name)
        ).items
        if not pods:
            return
        try:
            log = self._pods.read_namespaced_pod_log(pods[-1].metadata.name, self._namespace)
        except client.ApiException as error:
            if error.status not in (400, 404):  # not started yet, or gone already
                raise
            return
        lines = log.splitlines()
        if len(lines) < self._shown:
            self._shown = 0  # another pod in its place
        for line in lines[self._shown :]:
            log_line(line)
        self._shown = len(lines)

    @contextmanager
    def _removed_when_interrupted(self) -> Iterator[None]:
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            self.remove()
            print(f"Removed TrainJob {self._name}", flush=True)
            raise

    def remove(self) -> None:
        """Removes the TrainJob with its pods, and waits until it is gone."""
        try:
            self._jobs.delete_namespaced_custom_object(
                name=self._name, propagation_policy="Foreground", **self._resource
            )
            while True:
                self._jobs.get_namespaced_custom_object(name=self._name, **self._resource)
                time.sleep(self._seconds)
        except client.ApiException as error:
            if error.status != 404:
                raise
