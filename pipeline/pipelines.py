"""The pipelines that there are, each described once."""

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.config import (
    Evaluate,
    Ingest,
    Notification,
    Options,
    Predict,
    Push,
    Run,
    Train,
    Watch,
)


@dataclass(frozen=True)
class Pipeline:
    """A pipeline: its steps, its options, and what it is called where."""

    name: str  # also of its runs, their experiment and, with -schedule, their schedule
    description: str
    entry: str  # module:function that composes the steps, for kfp
    steps: tuple[type[Options], ...]  # their configurations, in order
    whole_run: type[Options]  # the configuration of what concerns no single step
    command: str  # of python -m pipeline, that runs it on this machine
    file: str  # that it is compiled to
    latest: str  # the link to the newest run on this machine that had data to work on
    first: tuple[str, ...]  # options that its help begins with
    written: tuple[str, ...]  # parameters that name a directory which a step writes
    fills_registry: bool  # or else needs one that is filled
    skipped: str  # why the last step did not run, where none failed
    # What starts with a local run, and what it imports while others work; steps that are forked
    # from a process which has imported TensorFlow.
    ahead: Mapping[str, Sequence[str]]
    forked: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[type[Options], ...]:
        """The configurations whose fields are, together, the pipeline's parameters."""
        return (*self.steps, self.whole_run)

    @property
    def step_names(self) -> tuple[str, ...]:
        """The names of its steps, in order."""
        return tuple(step.__name__.lower() for step in self.steps)

    @property
    def registry_step(self) -> str:
        """The step whose registry is the pipeline's."""
        named = zip(self.step_names, self.steps, strict=True)
        return next(name for name, step in named if "destination" in step.names())

    def function(self) -> Any:
        """Returns what composes the steps, as kfp has it; imports kfp."""
        return pkgutil.resolve_name(self.entry)


MNIST = Pipeline(
    name="mnist",
    description="Handwritten digits, from raw files to a served model",
    entry="pipeline.training:mnist",
    steps=(Ingest, Train, Evaluate, Push),
    whole_run=Run,
    command="local",
    file="pipeline.yaml",
    latest="latest",
    first=(
        "source",
        "tutorial",
        "max_steps",
        "hidden",
        "learning_rate",
        "batch_size",
        "min_precision",
        "destination",
        "checkpoints",
        "runner",
    ),
    written=("destination", "checkpoints", "cache"),
    fills_registry=True,
    skipped="the model is not blessed",
    ahead={"ingest": ("components.ingest.ingest",)},
    forked=("train", "evaluate", "push"),
)

PREDICT = Pipeline(
    name="predict",
    description="What came in: what the champion says of it, and whether it looks as it did",
    entry="pipeline.prediction:predict_and_watch",
    steps=(Predict, Watch),
    whole_run=Notification,
    command="predict",
    file="predict.yaml",
    latest="latest-predict",
    first=("source", "span", "until", "destination", "model_name", "version", "webhook", "runner"),
    written=("cache",),
    fills_registry=False,
    skipped="nothing new",
    ahead={
        "predict": ("components.predict.predict", "components.scoring.classifier"),
        "watch": ("components.watch.watch",),
    },
)

PIPELINES = {pipeline.name: pipeline for pipeline in (MNIST, PREDICT)}
