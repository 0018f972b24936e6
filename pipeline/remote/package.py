"""The compiled pipeline, read back: its parameters, its volumes, and what a schedule changes."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kfp import dsl

from components.shared.errors import StepError

UNTIL = "until"  # ingest's parameter that says up to when data is read
# The backend puts the time a recurring run was due, as 2026-11-25T03:00:00Z, in the place of this
# where it is a task's constant input. In a run's parameters it replaces nothing:
# https://github.com/kubeflow/pipelines/issues/12494
SCHEDULE_TIME = dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER


@dataclass(frozen=True)
class Package:
    """A compiled pipeline."""

    spec: dict[str, Any]
    platforms: dict[str, Any]  # what Kubernetes alone has to know

    @classmethod
    def read(cls, path: Path) -> "Package":
        """Reads a compiled pipeline.

        Raises:
            StepError: The file is none.
        """
        try:
            spec, *others = yaml.safe_load_all(path.read_text(encoding="utf-8"))
            package = cls(spec, next(iter(others), {}))
            package.inputs  # noqa: B018 - that they are there makes it a pipeline
        except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise StepError(
                f"{path}: no compiled pipeline ({type(error).__name__}); run 'make compile'"
            ) from None
        return package

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
