"""Where the pods of a step may run, and what they are marked with.

Each setting is a list with commas between, every item for all steps, or for one that stands before
it: ``pool=batch,train:pool=spot``.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from components.shared.errors import StepError
from pipeline.pipelines import PIPELINES

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
STEPS = {*(step for pipeline in PIPELINES.values() for step in pipeline.step_names), "summary"}


class Toleration(NamedTuple):
    """A taint that pods put up with."""

    key: str
    value: str  # empty: any
    effect: str  # empty: any

    def as_kubernetes(self) -> dict[str, Any]:
        """Returns it as a pod has it, and as kfp-kubernetes takes it."""
        equal = {"operator": "Equal", "value": self.value}
        found = {"key": self.key} | (equal if self.value else {"operator": "Exists"})
        return found | ({"effect": self.effect} if self.effect else {})


def pairs(option: str, text: str, step: str) -> dict[str, str]:
    """Reads ``[step:]key=value,…`` for a step.

    Args:
        option: What it is the value of, for errors.
        text: The setting.
        step: Whose items are wanted; those for one step prevail over those for all.

    Raises:
        StepError: An item is not of that form.
    """
    found: dict[str, dict[str, str]] = {"": {}, step: {}}
    for whose, item in _items(text):
        key, equals, value = item.partition("=")
        if not key or not equals or ":" in key:
            raise StepError(f"{option} {item}: expected [step:]key=value, {_steps()}")
        found.setdefault(whose, {})[key] = value
    return found[""] | found[step]


def tolerations(option: str, text: str, step: str) -> list[Toleration]:
    """Reads ``[step:]key[=value][:effect],…`` for a step.

    Args:
        option: What it is the value of, for errors.
        text: The setting.
        step: Whose items are wanted.

    Raises:
        StepError: An item is not of that form.
    """
    found = []
    for whose, item in _items(text):
        taint, _, effect = item.partition(":")
        key, _, value = taint.partition("=")
        if not key or (effect and effect not in EFFECTS):
            raise StepError(
                f"{option} {item}: expected [step:]key[=value][:effect], the effect "
                f"{', '.join(EFFECTS)}, {_steps()}"
            )
        if whose in ("", step):
            found.append(Toleration(key, value, effect))
    return found


def place(
    task: "PipelineTask",
    *,
    nodes: dict[str, str],
    tolerated: list[Toleration],
    labels: dict[str, str],
    annotations: dict[str, str],
) -> None:
    """Has a task's pod run on such nodes, and carry such marks."""
    from kfp import kubernetes

    for key, value in nodes.items():
        kubernetes.add_node_selector(task, key, value)
    for taint in tolerated:
        kubernetes.add_toleration(task, **taint.as_kubernetes())
    for key, value in labels.items():
        kubernetes.add_pod_label(task, key, value)
    for key, value in annotations.items():
        kubernetes.add_pod_annotation(task, key, value)


def _items(text: str) -> list[tuple[str, str]]:
    """Splits a setting into the step of each item, empty for all, and the rest of it."""
    found = []
    for item in filter(None, (item.strip() for item in text.split(","))):
        before, _, rest = item.partition(":")
        found.append((before, rest) if before in STEPS else ("", item))
    return found


def _steps() -> str:
    return f"the steps {', '.join(sorted(STEPS))}"
