"""What the compiled pipeline asks of a cluster, in both documents that the backend reads."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from components.shared.environment import HEARTBEAT, WEBHOOK
from components.train.distributed.trainjob import Settings
from pipeline.pipelines import MNIST
from tests.docker.lock_files import IMAGES
from tests.pipeline.conftest import Cli

STEPS = (*MNIST.step_names, "summary")
DIGEST = "@sha256:" + "0" * 64


class Compiled:
    """A compiled pipeline, read as the backend reads it."""

    def __init__(self, path: Path) -> None:
        import yaml

        pipeline, platforms = yaml.safe_load_all(path.read_text())
        self.spec = json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
        platform = json_format.ParseDict(platforms, pipeline_spec_pb2.PlatformSpec())
        self.kubernetes = platform.platforms["kubernetes"]

    def container(self, step: str) -> Any:
        """The container of a step."""
        executors = self.spec.deployment_spec["executors"]
        text = json_format.MessageToDict(executors[f"exec-{step}"]["container"])
        container = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec()
        return json_format.ParseDict(text, container)

    def pod(self, step: str) -> Any:
        """What Kubernetes alone knows of a step's pod."""
        config = self.kubernetes.deployment_spec.executors[f"exec-{step}"]
        return json_format.ParseDict(
            json_format.MessageToDict(config),
            kubernetes_executor_config_pb2.KubernetesExecutorConfig(),
        )

    def task(self, step: str) -> Any:
        """The task of a step, wherever in the graph it is."""
        graphs = [self.spec.root, *self.spec.components.values()]
        (found,) = [graph.dag.tasks[step] for graph in graphs if step in graph.dag.tasks]
        return found


Compile = Callable[..., Compiled]


@pytest.fixture
def compiled(cli: Cli, tmp_path: Path) -> Compile:
    """Compiles with the options given and returns what came of it."""

    def compile_with(*options: object) -> Compiled:
        cli("compile", "--output", tmp_path / "pipeline.yaml", *options)
        return Compiled(tmp_path / "pipeline.yaml")

    return compile_with


@pytest.fixture
def digests(tmp_path: Path) -> Path:
    """A file that names the images by digest."""
    path = tmp_path / "images.json"
    path.write_text(json.dumps({name: f"registry/{name}{DIGEST}" for name in IMAGES}))
    return path


def test_every_step_gets_cpu_memory_and_a_timeout(compiled: Compile) -> None:
    pipeline = compiled("--cpu", 2, "--memory", "3Gi", "--train-cpu", 6, "--train-memory", "12Gi")
    asked = dict.fromkeys(STEPS, ("2", "3Gi"))
    asked |= {"train": ("6", "12Gi"), "summary": ("100m", "256Mi")}  # which waits for answers
    for step, (cpu, memory) in asked.items():
        resources = pipeline.container(step).resources
        assert resources.resource_cpu_request == cpu
        assert resources.resource_memory_request == memory
        assert resources.resource_memory_limit == ("3Gi" if step == "summary" else memory)
        timeout = 86_400 if step == "train" else 3_600
        assert pipeline.pod(step).active_deadline_seconds == timeout


def test_failed_steps_are_tried_again_with_growing_pauses(compiled: Compile) -> None:
    pipeline = compiled("--retries", 3, "--backoff", 10)
    for step in STEPS[:-1]:
        policy = pipeline.task(step).retry_policy
        assert policy.max_retry_count == 3
        assert policy.backoff_duration.seconds == 10
        assert policy.backoff_factor == 2
    assert not pipeline.task("summary").HasField("retry_policy")


@pytest.mark.parametrize("retries", [1, 2, 5])
def test_every_attempt_has_its_whole_time(compiled: Compile, retries: int) -> None:
    pipeline = compiled(
        "--retries", retries, "--backoff", 10, "--timeout", 60, "--train-timeout", 900
    )
    for step in STEPS[:-1]:
        # The backend counts it from the start of the first attempt, and ends a retried pod there.
        window = pipeline.task(step).retry_policy.backoff_max_duration.seconds
        pauses = sum(10 * 2**retry for retry in range(retries))
        assert window == (retries + 1) * (900 if step == "train" else 60) + pauses


def test_images_come_from_the_template(compiled: Compile) -> None:
    pipeline = compiled("--image", "registry/team-{step}:1.0")
    images = {step: pipeline.container(step).image for step in STEPS}
    expected = {step: f"registry/team-{step}:1.0" for step in STEPS}
    assert images == expected | {"summary": "registry/team-push:1.0"}


def test_only_ingest_and_train_are_cached_and_only_by_digest(
    compiled: Compile, digests: Path
) -> None:
    def cached(pipeline: Compiled) -> set[str]:
        return {step for step in STEPS if pipeline.task(step).caching_options.enable_cache}

    assert cached(compiled()) == set()  # a tag does not tell when the code behind it changed
    pinned = compiled("--images", digests)
    assert cached(pinned) == {"ingest", "train"}
    assert pinned.container("train").image == f"registry/train{DIGEST}"
    assert cached(compiled("--images", digests, "--no-caching")) == set()


def test_without_gpus_nothing_asks_for_one(compiled: Compile) -> None:
    pipeline = compiled()
    for step in STEPS:
        assert not pipeline.container(step).resources.HasField("accelerator")
        assert not pipeline.pod(step).tolerations
        assert not pipeline.pod(step).HasField("node_selector")


def test_only_training_gets_gpus_with_shared_memory(compiled: Compile, digests: Path) -> None:
    label = "cloud.google.com/gke-accelerator=nvidia-l4"
    options = ("--gpus", 4, "--node-selector", f"train:{label}", "--shm", "1Gi")
    pipeline = compiled(*options, "--images", digests)
    assert pipeline.container("train").image == f"registry/train-gpu{DIGEST}"
    accelerator = pipeline.container("train").resources.accelerator
    assert accelerator.resource_type == "nvidia.com/gpu"
    assert accelerator.resource_count == "4"
    pod = pipeline.pod("train")
    assert dict(pod.node_selector.labels) == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    (toleration,) = pod.tolerations
    assert (toleration.key, toleration.operator, toleration.effect) == (
        *("nvidia.com/gpu", "Exists", "NoSchedule"),
    )
    (shm,) = pod.empty_dir_mounts
    assert (shm.mount_path, shm.medium, shm.size_limit) == ("/dev/shm", "Memory", "1Gi")
    for step in ("ingest", "evaluate", "push", "summary"):
        assert not pipeline.container(step).resources.HasField("accelerator")


def test_training_finds_the_volume_and_its_runs_own_name(compiled: Compile) -> None:
    pipeline = compiled("--pvc", "checkpoints", "--pvc-path", "/data")
    pod = pipeline.pod("train")
    (mount,) = pod.pvc_mount
    assert mount.mount_path == "/data"
    assert mount.pvc_name_parameter.runtime_value.constant.string_value == "checkpoints"
    variables = {variable.name: variable.value for variable in pipeline.container("train").env}
    assert variables == {"RUN_VOLUME": "/data"}
    (run_id,) = pod.field_path_as_env
    assert (run_id.name, run_id.field_path) == ("RUN_ID", "metadata.labels['pipeline/runid']")


def test_what_is_made_names_its_run_and_the_commit_of_its_code(
    compiled: Compile, digests: Path
) -> None:
    assert not compiled("--images", digests).container("train").env
    digests.write_text(json.dumps(json.loads(digests.read_text()) | {"commit": "0123abcd-dirty"}))
    pipeline = compiled("--images", digests)
    for step in STEPS:
        variables = {variable.name: variable.value for variable in pipeline.container(step).env}
        assert variables == {"PIPELINE_COMMIT": "0123abcd-dirty"}
    for step in ("ingest", "train", "evaluate"):
        (run_id,) = pipeline.pod(step).field_path_as_env
        assert (run_id.name, run_id.field_path) == ("RUN_ID", "metadata.labels['pipeline/runid']")


def test_webhook_and_heartbeat_are_secrets_of_the_summary_alone(compiled: Compile) -> None:
    pipeline = compiled("--webhook-secret", "slack")
    given = {
        key.secret_key: (key.env_var, secret.secret_name, secret.optional)
        for secret in pipeline.pod("summary").secret_as_env
        for key in secret.key_to_env
    }
    assert given == {"webhook": (WEBHOOK, "slack", False), "heartbeat": (HEARTBEAT, "slack", True)}
    assert not any(pipeline.pod(step).secret_as_env for step in STEPS[:-1])


def test_secrets_and_the_pull_policy_reach_every_pod(compiled: Compile) -> None:
    pipeline = compiled("--gcs-secret", "gcs", "--pull-secret", "login", "--pull-policy", "Always")
    for step in STEPS:
        assert pipeline.pod(step).image_pull_policy == "Always"
        (login,) = pipeline.pod(step).image_pull_secret
        assert login.secret_name == "login"
    for step in STEPS[:-1]:  # the summary reads no data
        (secret,) = pipeline.pod(step).secret_as_volume
        assert secret.secret_name == "gcs"
        variables = {variable.name: variable.value for variable in pipeline.container(step).env}
        assert variables["GOOGLE_APPLICATION_CREDENTIALS"] == f"{secret.mount_path}/key.json"


def test_the_steps_with_source_or_registry_have_what_opens_s3(compiled: Compile) -> None:
    pipeline = compiled("--s3-secret", "minio")
    for step in STEPS:
        given = {
            key.env_var: (key.secret_key, secret.secret_name, secret.optional)
            for secret in pipeline.pod(step).secret_as_env
            for key in secret.key_to_env
        }
        if step in ("train", "summary"):
            assert not given
            continue
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            assert given.pop(name) == (name, "minio", False)
        assert {"AWS_ENDPOINT_URL", "AWS_REGION"} <= given.keys()
        assert all(found == (name, "minio", True) for name, found in given.items())


def test_pods_of_finished_runs_are_removed_where_asked(compiled: Compile) -> None:
    assert not compiled().kubernetes.HasField("pipelineConfig")
    # Those for success and failure win over the third, and an installation has defaults for them.
    config = compiled("--ttl", 60).kubernetes.pipelineConfig
    assert config.resource_ttl_on_success == config.resource_ttl_on_failure == 60
    assert config.resource_ttl_on_completion == 60


@pytest.mark.parametrize(
    "options",
    [
        ("--memory", "plenty"),
        ("--image", "registry/mnist:1.0"),
        ("--gpus", "-1"),
        ("--timeout", "0"),
    ],
)
def test_a_wrong_setting_is_exit_code_2(cli: Cli, tmp_path: Path, options: tuple) -> None:
    output = tmp_path / "pipeline.yaml"
    assert options[0] in cli("compile", "--output", output, *options, expect=2).stderr
    assert not output.exists()


@pytest.mark.parametrize("content", ["", "{}", "[]", "not JSON"])
def test_a_file_without_the_images_is_one_line(cli: Cli, tmp_path: Path, content: str) -> None:
    path = tmp_path / "images.json"
    path.write_text(content)
    error = cli(
        "compile", "--output", tmp_path / "pipeline.yaml", "--images", path, expect=1
    ).stderr
    assert error.startswith(f"error: {path}: no image of") and error.count("\n") == 1


def test_on_several_nodes_the_step_only_looks_after_the_others(compiled: Compile) -> None:
    pipeline = compiled("--nodes", 4, "--pvc", "shared", "--gpus", 2, "--train-cpu", 8)
    container = pipeline.container("train")
    assert not container.resources.HasField("accelerator")
    assert container.resources.resource_cpu_request == "1"
    variables = {variable.name: variable.value for variable in container.env}
    settings = Settings(**json.loads(variables["TRAINJOB_SETTINGS"]))
    assert (settings.nodes, settings.gpus, settings.cpu, settings.pvc) == (4, 2, "8", "shared")
    assert settings.image == "mnist-pipeline-train-gpu:latest"


def test_several_nodes_need_a_volume(cli: Cli, tmp_path: Path) -> None:
    output = tmp_path / "pipeline.yaml"
    error = cli("compile", "--output", output, "--nodes", 2, expect=1).stderr
    assert "--pvc" in error and not output.exists()


def test_pods_run_where_they_may_and_carry_their_marks(compiled: Compile) -> None:
    pipeline = compiled(
        *("--node-selector", "pool=batch,train:pool=spot"),
        *("--toleration", "train:spot:NoSchedule,dedicated=ml"),
        *("--label", "team=vision,train:kueue.x-k8s.io/queue-name=nightly"),
        *("--annotation", "cost-centre=12"),
    )
    train, ingest = pipeline.pod("train"), pipeline.pod("ingest")
    assert dict(train.node_selector.labels) == {"pool": "spot"}
    assert dict(ingest.node_selector.labels) == {"pool": "batch"}
    tolerated = [(t.key, t.operator, t.value, t.effect) for t in train.tolerations]
    everywhere = ("dedicated", "Equal", "ml", "")
    assert tolerated == [("spot", "Exists", "", "NoSchedule"), everywhere]
    assert [(t.key, t.operator, t.value, t.effect) for t in ingest.tolerations] == [everywhere]
    queue = {"kueue.x-k8s.io/queue-name": "nightly"}
    assert dict(train.pod_metadata.labels) == {"team": "vision"} | queue
    assert dict(pipeline.pod("summary").pod_metadata.labels) == {"team": "vision"}
    assert dict(ingest.pod_metadata.annotations) == {"cost-centre": "12"}


@pytest.mark.parametrize(
    "options",
    [
        ("--node-selector", "gpu"),
        ("--node-selector", "trian:pool=spot"),
        ("--label", "=x"),
        ("--toleration", "trian:spot:NoSchedule"),
        ("--toleration", "spot:Sometimes"),
    ],
)
def test_a_placement_that_nobody_can_read_is_one_line(
    cli: Cli, tmp_path: Path, options: tuple
) -> None:
    output = tmp_path / "pipeline.yaml"
    refused = cli("compile", *options, "--output", output, expect=1).stderr
    assert refused.startswith(f"error: {options[0]} ") and refused.count("\n") == 1
    assert "expected [step:]key" in refused and len(refused) < 250 and not output.exists()


def test_the_summary_sees_no_key_to_data(compiled: Compile) -> None:
    pod = compiled("--gcs-secret", "gcs", "--s3-secret", "s3").pod("summary")
    assert not pod.secret_as_volume and not pod.secret_as_env
