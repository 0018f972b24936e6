"""A pipeline as the file that Kubeflow Pipelines takes: compiled, and read back."""

import copy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from kfp import dsl
from kfp.compiler import Compiler

from components.shared.command_line import flag
from components.shared.errors import StepError, log_line
from components.shared.storage import write_text
from pipeline.cluster import ClusterSettings, compiling_for
from pipeline.pipelines import Pipeline

ENDINGS = (".yaml", ".yml")
# Settings that Vertex AI has nothing for: who asks for one would miss what it gives.
ONLY_KUBERNETES = (
    "pull_secret",
    "webhook_secret",
    "gcs_secret",
    "s3_secret",
    "pvc",
    "nodes",
    "node_selector",
    "toleration",
    "label",
    "annotation",
    "ttl",
)
UNTIL = "until"  # the parameter that says up to when data is read
# The backend replaces this by the time a recurring run was due, as 2026-11-25T03:00:00Z, where it
# is a task's constant input. In a run's parameters it replaces nothing:
# https://github.com/kubeflow/pipelines/issues/12494
SCHEDULE_TIME = dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER


def compile_to(output: str, settings: ClusterSettings, pipeline: Pipeline) -> None:
    """Compiles a pipeline for a cluster.

    Args:
        output: The file to write, with the directories above it; it appears whole or stays as
            it is.
        settings: The cluster's.
        pipeline: Which one.

    Raises:
        StepError: The settings do not fit together.
        OSError: The file cannot be written.
    """
    _check(settings, pipeline)
    # All three, since an installation has defaults for each, and Argo prefers the first two.
    ttl = settings.ttl or None
    config = dsl.PipelineConfig(
        ttl_seconds_after_success=ttl,
        ttl_seconds_after_failure=ttl,
        ttl_seconds_after_finished=ttl,
    )
    decorate = dsl.pipeline(
        name=pipeline.name, description=pipeline.description, pipeline_config=config
    )
    if Path(output).suffix not in ENDINGS:
        raise StepError(f"{output}: expected a name that ends with {' or '.join(ENDINGS)}")
    with compiling_for(settings), TemporaryDirectory() as scratch:
        compiled = Path(scratch) / pipeline.file
        Compiler().compile(decorate(pipeline.function().pipeline_func), str(compiled))
        if settings.platform == "vertex":
            package = Package.read(compiled)
            log_line(
                f"Left out, as Vertex AI has none of it: {', '.join(package.kubernetes_fields)}"
            )
            Package(package.spec, {}).write(compiled)
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        write_text(Path(output), compiled.read_text(encoding="utf-8"))


def _check(settings: ClusterSettings, pipeline: Pipeline) -> None:
    """Refuses settings that do not fit together, or not this pipeline.

    Raises:
        StepError: They do not.
    """
    if settings.nodes > 1 and not settings.pvc:
        raise StepError(f"{settings.nodes} nodes, but no --pvc that they share; name one")
    if settings.nodes > 1 and "train" not in pipeline.step_names:
        raise StepError(f"{pipeline.name} with {settings.nodes} nodes; only train takes several")
    if settings.platform == "kubernetes":
        return
    changed = ClusterSettings.changed(vars(settings))
    for name in ONLY_KUBERNETES:
        if name in changed:
            raise StepError(
                f"{flag(name)}: Vertex AI has nothing of the kind; leave it out with "
                "--platform vertex"
            )
    if settings.gpus and "gpu_type" not in changed:
        raise StepError(
            f"--gpu-type {settings.gpu_type}: a name of Kubernetes', expected Vertex AI's for "
            "--gpus, such as NVIDIA_TESLA_T4"
        )


@dataclass(frozen=True)
class Package:
    """A compiled pipeline."""

    spec: dict[str, Any]
    platforms: dict[str, Any]  # what Kubernetes alone has to know

    @classmethod
    def read(cls, path: Path) -> "Package":
        """Reads a compiled pipeline.

        Raises:
            StepError: The file does not hold one.
        """
        try:
            spec, *others = yaml.safe_load_all(path.read_text(encoding="utf-8"))
            package = cls(spec, next(iter(others), {}))
            package.inputs  # noqa: B018 - that they are there makes it a pipeline
        except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise StepError(
                f"{path}: not a compiled pipeline ({type(error).__name__}); run 'make compile'"
            ) from None
        return package

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Package":
        """Returns a pipeline from the form in which a server answers, both documents in one."""
        if "pipeline_spec" in document:
            return cls(document["pipeline_spec"], document.get("platform_spec", {}))
        return cls(document, {})

    def write(self, path: Path) -> None:
        """Writes it in the form that it is read in."""
        documents = [self.spec, self.platforms] if self.platforms else [self.spec]
        path.write_text(yaml.safe_dump_all(documents, sort_keys=False), encoding="utf-8")

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return str(self.spec.get("pipelineInfo", {}).get("name", ""))

    @property
    def inputs(self) -> dict[str, Any]:
        """The parameters: by name, their type and default value."""
        return dict(self.spec["root"]["inputDefinitions"]["parameters"])

    def default(self, name: str) -> Any:
        """Returns a parameter's default value, None where it has none."""
        return self.inputs.get(name, {}).get("defaultValue")

    @property
    def requests(self) -> dict[str, str]:
        """What the pod of each step asks a node for, as ``cpu 4, memory 8Gi``."""
        found = {}
        for name, executor in self.spec.get("deploymentSpec", {}).get("executors", {}).items():
            resources = executor.get("container", {}).get("resources", {})
            amounts = {
                "cpu": resources.get("resourceCpuRequest"),
                "memory": resources.get("resourceMemoryRequest"),
            }
            if gpu := resources.get("accelerator"):
                amounts[gpu["resourceType"]] = gpu["resourceCount"]
            found[name.removeprefix("exec-")] = ", ".join(
                f"{resource} {amount}" for resource, amount in amounts.items() if amount
            )
        return {step: amounts for step, amounts in found.items() if amounts}

    @property
    def kubernetes_fields(self) -> list[str]:
        """What Kubernetes alone has to know, by the names of KFP's fields."""
        kubernetes = self.platforms.get("platforms", {}).get("kubernetes", {})
        executors = kubernetes.get("deploymentSpec", {}).get("executors", {})
        return sorted({field for executor in executors.values() for field in executor})

    def volumes(self, step: str) -> list[str]:
        """Returns the paths at which a step's pod has persistent volumes."""
        kubernetes = self.platforms.get("platforms", {}).get("kubernetes", {})
        executors = kubernetes.get("deploymentSpec", {}).get("executors", {})
        mounts = executors.get(f"exec-{step}", {}).get("pvcMount", [])
        return [str(mount["mountPath"]) for mount in mounts]

    def reading_to_schedule_time(self) -> "Package":
        """Returns the pipeline with every run of a schedule reading data up to the time it is due.

        Where it has no such parameter, it is returned as it is.
        """
        spec = copy.deepcopy(self.spec)
        for component in (spec["root"], *spec.get("components", {}).values()):
            for task in component.get("dag", {}).get("tasks", {}).values():
                parameters = task.get("inputs", {}).get("parameters", {})
                if UNTIL in parameters:
                    parameters[UNTIL] = {"runtimeValue": {"constant": SCHEDULE_TIME}}
        return Package(spec, self.platforms)
