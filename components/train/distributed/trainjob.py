"""The TrainJob that trains on several nodes.

Source: https://www.kubeflow.org/docs/components/trainer/, API trainer.kubeflow.org/v1alpha1 as of
Kubeflow Trainer 2.3.
"""

import secrets
from typing import Any

from pydantic.dataclasses import dataclass

from components.shared.environment import COMMIT, RENDEZVOUS_TOKEN
from components.train.distributed.tf_config import JOB

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
RUNTIME = "mnist-train"  # deploy/training-runtime.yaml
MANAGER = "mnist-pipeline.kubeflow.org/train"  # whose patches of the runtime these are


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
    gpu_node: str
    shm: str
    timeout: int  # seconds
    commit: str = ""  # that the image was built at, where that is known


def trainjob(name: str, settings: Settings, arguments: list[str]) -> dict[str, Any]:
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
    pod: dict[str, Any] = {
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
    if settings.gpus:
        pod["tolerations"] = [
            {"key": settings.gpu_type, "operator": "Exists", "effect": "NoSchedule"}
        ]
    if settings.gpu_node:
        key, value = settings.gpu_node.split("=", 1)
        pod["nodeSelector"] = {key: value}
    return {"name": JOB, "template": {"spec": {"template": {"spec": pod}}}}
