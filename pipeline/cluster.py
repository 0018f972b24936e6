"""What only a cluster needs, compiled into the pipeline; a local run has none of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

from components.config import IMAGE, Options
from components.shared.environment import (
    COMMIT,
    HEARTBEAT,
    RUN_ID,
    RUN_VOLUME,
    S3_CREDENTIALS,
    S3_ENDPOINT,
    S3_REGION,
    TRAINJOB_SETTINGS,
    WEBHOOK,
)
from components.shared.errors import StepError
from pipeline.placement import Toleration, pairs, place, tolerations

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask

# A Kubernetes resource quantity.
QUANTITY = r"^([1-9]\d*|0\.\d*[1-9])(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"
SECRETS = "/secrets/gcs"
SUMMARY_CPU, SUMMARY_MEMORY = "100m", "256Mi"
READ_BUCKETS = ("ingest", "evaluate", "push", "predict")  # the steps with source or registry
TRAINING = ("train", "tune")
SHARED = {
    "summary": "push",
    "watch": "predict",
    "retrain": "predict",
    "tune": "train",
}  # who runs in another's image


@dataclass(frozen=True)
class ClusterSettings(Options):
    """What only a cluster needs, compiled into the pipeline."""

    platform: Literal["kubernetes", "vertex"] = Field(
        default="kubernetes",
        description="Whose pipelines to compile for: a Kubernetes cluster's, or Vertex AI's, which "
        "have no volumes, secrets and nodes of their own.",
    )
    image: str = Field(
        default=IMAGE,
        pattern=r"\{step\}",
        description="Address of a step's image; {step} stands for the step.",
    )
    images: str = Field(
        default="",
        description="JSON file of step and image by digest, {'train': 'registry/…@sha256:…'}, in "
        "place of --image; only such steps are cached.",
    )
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field(
        default="IfNotPresent", description="When nodes pull images."
    )
    pull_secret: str = Field(
        default="", description="Secret with the login to the image registry; empty: none."
    )
    cpu: str = Field(default="1", pattern=QUANTITY, description="CPUs a step, but for training.")
    memory: str = Field(
        default="4Gi", pattern=QUANTITY, description="Memory a step, but for training."
    )
    train_cpu: str = Field(default="4", pattern=QUANTITY, description="CPUs for training.")
    train_memory: str = Field(default="8Gi", pattern=QUANTITY, description="Memory for training.")
    gpus: NonNegativeInt = Field(default=0, description="GPUs for training, a node; 0 is CPU.")
    gpu_type: str = Field(
        default="nvidia.com/gpu", description="Kubernetes resource a GPU is asked for by."
    )
    shm: str = Field(
        default="2Gi",
        pattern=QUANTITY,
        description="Size of /dev/shm, held in memory, for training with GPUs.",
    )
    node_selector: str = Field(
        default="",
        description="Labels of the nodes to run on, as [step:]key=value with commas between; "
        "without a step for all of them.",
    )
    toleration: str = Field(
        default="",
        description="Taints that pods put up with, as [step:]key[=value][:effect] with commas "
        "between, such as train:spot:NoSchedule.",
    )
    label: str = Field(
        default="",
        description="Labels of pods, as [step:]key=value with commas between: a queue's, a cost "
        "centre's.",
    )
    annotation: str = Field(
        default="", description="Annotations of pods, as [step:]key=value with commas between."
    )
    retries: NonNegativeInt = Field(
        default=2,
        description="Times a step is tried again. A stock installation does so only where the pod "
        "was deleted or lost, and not where the step failed: see docs/cluster.md, Retries.",
    )
    backoff: PositiveInt = Field(
        default=60,
        description="Seconds before the first retry, doubled for each further one; a step that is "
        "not retried waits them, too.",
    )
    timeout: PositiveInt = Field(
        default=3_600, description="Seconds an attempt of a step may take, but for training."
    )
    train_timeout: PositiveInt = Field(
        default=86_400, description="Seconds an attempt of training may take."
    )
    caching: bool = Field(
        default=True,
        description="Reuse the output of ingest and train where image and input are the same.",
    )
    webhook_secret: str = Field(
        default="",
        description="Secret whose keys webhook and, if it has one, heartbeat are the addresses "
        "that the summary calls, in place of the parameters of those names, which whoever sees the "
        "run sees; empty: none.",
    )
    gcs_secret: str = Field(
        default="",
        description="Secret whose key.json is a service account's key to Cloud Storage; empty: "
        "what the pod's own account may do.",
    )
    s3_secret: str = Field(
        default="",
        description="Secret whose keys are AWS's variables for s3://: AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY, and where they are needed AWS_ENDPOINT_URL and AWS_REGION; empty: "
        "what the pod's own account may do.",
    )
    pvc: str = Field(
        default="",
        description="Persistent volume claim that all steps see. Training has its checkpoints "
        "there, so that a retried pod goes on from the last; data and registry may lie there, too; "
        "empty: none.",
    )
    pvc_path: str = Field(
        default="/workspace", pattern="^/", description="Where that volume is mounted."
    )
    nodes: PositiveInt = Field(
        default=1,
        description="Pods to train on; more than one needs Kubeflow Trainer v2 and a --pvc that "
        "all of them can write.",
    )
    ttl: NonNegativeInt = Field(
        default=0,
        description="Seconds after which the pods of a finished run are removed (KFP 2.17 and "
        "later); 0 leaves that to the installation.",
    )


_current: ContextVar[ClusterSettings | None] = ContextVar("settings", default=None)


def image_address(step: str, settings: ClusterSettings) -> str:
    """Returns the address of the image a step runs in.

    Raises:
        StepError: The file of digests cannot be read, or lacks the step.
    """
    if not settings.images:
        return settings.image.format(step=step)
    try:
        return str(_images(settings)[step])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StepError(
            f"{settings.images}: no image of {step!r} there ({type(error).__name__}: {error}), "
            'expected JSON as {"train": "registry/name@sha256:…"}; push the images first'
        ) from None


def commit(settings: ClusterSettings) -> str:
    """Returns the commit that the images were built at; empty where their file does not say.

    It is not in the images, whose digests would change with it where their code does not.
    """
    return str(_images(settings).get("commit", "")) if settings.images else ""


def _images(settings: ClusterSettings) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(settings.images).read_text(encoding="utf-8"))
    return found


@contextmanager
def compiling_for(settings: ClusterSettings) -> Iterator[None]:
    """Has :func:`configure` give the tasks what a cluster is to give them."""
    token = _current.set(settings)
    try:
        yield
    finally:
        _current.reset(token)


def configure(**tasks: "PipelineTask") -> None:
    """Gives the tasks, by the name of their step, what the cluster is to give them."""
    settings = _current.get()
    if settings is None:
        return
    for step, task in tasks.items():
        _configure_task(settings, step, task)
        if step in TRAINING:
            _configure_training(settings, task)


def _configure_task(settings: ClusterSettings, step: str, task: "PipelineTask") -> None:
    from kfp import kubernetes

    training = step in TRAINING
    image = image_address(image_name(step, settings.gpus), settings)
    cpu, memory = settings.cpu, settings.memory
    if training and settings.nodes == 1:  # with more, this pod only looks after the others
        cpu, memory = settings.train_cpu, settings.train_memory
    task.set_container_image(image)
    task.set_cpu_request(cpu).set_memory_request(memory).set_memory_limit(memory)
    if step == "summary":  # which only waits for answers
        task.set_cpu_request(SUMMARY_CPU).set_memory_request(SUMMARY_MEMORY)
    # The pod that only looks after others is placed as any step is.
    place(task, **_placement(settings, "" if training and settings.nodes > 1 else step))
    kubernetes.set_timeout(task, settings.train_timeout if training else settings.timeout)
    kubernetes.set_image_pull_policy(task, settings.pull_policy)
    # Neither of these two is in the backend's cache key: what is reused names the run that made it,
    # and the commit of then, at which the code in the image was the same.
    if built_at := commit(settings):
        task.set_env_variable(COMMIT, built_at)
    if step not in ("push", "summary"):  # which have it as an argument
        kubernetes.use_field_path_as_env(task, RUN_ID, "metadata.labels['pipeline/runid']")
    if settings.pull_secret:
        kubernetes.set_image_pull_secrets(task, [settings.pull_secret])
    if settings.gcs_secret and step != "summary":
        kubernetes.use_secret_as_volume(task, settings.gcs_secret, mount_path=SECRETS)
        task.set_env_variable("GOOGLE_APPLICATION_CREDENTIALS", f"{SECRETS}/key.json")
    if settings.s3_secret and step in READ_BUCKETS:
        for names, optional in ((S3_CREDENTIALS, False), (S3_ENDPOINT + S3_REGION, True)):
            variables = {name: name for name in names}
            kubernetes.use_secret_as_env(task, settings.s3_secret, variables, optional)
    if settings.webhook_secret and step == "summary":
        for key, variable, optional in (
            ("webhook", WEBHOOK, False),
            ("heartbeat", HEARTBEAT, True),
        ):
            kubernetes.use_secret_as_env(task, settings.webhook_secret, {key: variable}, optional)
    if settings.pvc and step != "summary":
        kubernetes.mount_pvc(task, settings.pvc, settings.pvc_path)
    if settings.retries and step != "summary":
        window = _retry_window(settings, settings.train_timeout if training else settings.timeout)
        task.set_retry(settings.retries, f"{settings.backoff}s", 2.0, f"{window}s")
    # The backend tells images apart by name: only a digest tells when the code behind it changed.
    # Evaluate is not cached, since the champion is an input that the cache does not know of.
    pinned = "@sha256:" in image
    task.set_caching_options(settings.caching and pinned and step in ("ingest", *TRAINING))


def _retry_window(settings: ClusterSettings, timeout: int) -> int:
    """Returns the seconds that all attempts and pauses of a step may take.

    Counted from the start of the first attempt, nothing is retried after them, and a retried pod is
    ended there.
    """
    pauses = settings.backoff * (2**settings.retries - 1)
    return (settings.retries + 1) * timeout + pauses


def image_name(step: str, gpus: int = 0) -> str:
    """Returns the name of the image that a step runs in: some hold two steps."""
    return "train-gpu" if step in TRAINING and gpus else SHARED.get(step, step)


def _configure_training(settings: ClusterSettings, task: "PipelineTask") -> None:
    from kfp import kubernetes

    if settings.pvc:
        task.set_env_variable(RUN_VOLUME, settings.pvc_path)
    if settings.nodes > 1:
        task.set_env_variable(TRAINJOB_SETTINGS, _trainjob_settings(settings))
    elif settings.gpus:
        task.set_accelerator_type(settings.gpu_type).set_accelerator_limit(settings.gpus)
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", "Memory", settings.shm)


def _placement(settings: ClusterSettings, step: str) -> dict[str, Any]:
    """Returns where a step's pod may run and what it is marked with, as :func:`place` takes it."""
    tolerated = tolerations("--toleration", settings.toleration, step)
    if step in TRAINING and settings.gpus:
        tolerated.append(Toleration(settings.gpu_type, "", "NoSchedule"))
    return {
        "nodes": pairs("--node-selector", settings.node_selector, step),
        "tolerated": tolerated,
        "labels": pairs("--label", settings.label, step),
        "annotations": pairs("--annotation", settings.annotation, step),
    }


def _trainjob_settings(settings: ClusterSettings) -> str:
    shared = ("nodes", "pvc", "pvc_path", "gpus", "gpu_type", "shm")
    placement = _placement(settings, "train")
    values = {name: getattr(settings, name) for name in shared} | {
        "node_selector": placement["nodes"],
        "tolerations": [taint.as_kubernetes() for taint in placement["tolerated"]],
        "labels": placement["labels"],
        "annotations": placement["annotations"],
        "image": image_address(image_name("train", settings.gpus), settings),
        "cpu": settings.train_cpu,
        "memory": settings.train_memory,
        "timeout": settings.train_timeout,
        "commit": commit(settings),
    }
    return json.dumps(values)
