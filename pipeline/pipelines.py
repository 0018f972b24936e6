"""The pipelines that there are, each described once."""

import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from components.config import (
    SECRET,
    Evaluate,
    Ingest,
    Notification,
    Options,
    Predict,
    Push,
    Retrain,
    Run,
    Train,
    Tune,
    Watch,
)
from components.shared.addresses import redacted_text


@dataclass(frozen=True)
class Pipeline:
    """A pipeline: its steps, its options, and what it is called where."""

    name: str  # also of its runs' experiment and, with -schedule, their schedule
    description: str
    entry: str  # module:function that composes the steps, for kfp
    steps: tuple[type[Options], ...]  # their configurations, in order
    whole_run: type[Options]  # the configuration of what concerns no single step
    command: str  # of python -m pipeline, that runs it on this machine
    file: str  # that it is compiled to
    latest: str  # the link to the newest run on this machine that had data to work on
    first_options: tuple[str, ...]  # that its help begins with
    written: tuple[str, ...]  # parameters that name a directory which a step writes to
    fills_registry: bool  # or else needs one that is filled
    skip_reasons: Mapping[str, str]  # why a step did not run, where none failed
    # What steps of a local run import in their processes while others work, and which of these are
    # forked from one that has imported TensorFlow; see pipeline/local/processes.py.
    preimports: Mapping[str, Sequence[str]]
    forked: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[type[Options], ...]:
        """The configurations whose fields are, together, the pipeline's parameters."""
        return (*self.steps, self.whole_run)

    @property
    def fields(self) -> dict[str, FieldInfo]:
        """The pipeline's parameters: by name, their type, default and description."""
        return {
            name: field
            for config in self.parameters
            for name, field in config.__pydantic_fields__.items()  # type: ignore[attr-defined]
        }

    @property
    def step_names(self) -> tuple[str, ...]:
        """The names of its steps, in order."""
        return tuple(step.__name__.lower() for step in self.steps)

    @property
    def registry_step(self) -> str:
        """The step whose registry is the pipeline's."""
        named = zip(self.step_names, self.steps, strict=True)
        return next(name for name, step in named if "destination" in step.names())

    def run_prefix(self, parameters: Mapping[str, Any]) -> str:
        """Returns what names of its runs begin with: the model's name where they train just one."""
        if Train not in self.steps:
            return self.name
        return str(parameters.get("model_name", Push.model_name))

    def function(self) -> Any:
        """Returns what composes the steps, as kfp has it; imports kfp."""
        return pkgutil.resolve_name(self.entry)

    def with_parameters(self, compose: Callable[[dict[str, Any]], None]) -> Callable[..., None]:
        """Gives a function the pipeline's parameters, so that no list repeats config.py.

        kfp takes a pipeline's parameters from the signature of its function, and calls it with one
        value for each, in that order.

        Args:
            compose: Composes the steps from the parameters by name.
        """
        parameters = [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,  # kfp refuses keyword-only ones
                default=field.default,
                annotation=_parameter_type(field.annotation),
            )
            for name, field in self.fields.items()
        ]

        def pipeline(*values: Any) -> None:
            compose(dict(zip(self.fields, values, strict=True)))

        pipeline.__name__, pipeline.__doc__ = compose.__name__, compose.__doc__
        pipeline.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return pipeline


def _parameter_type(annotation: Any) -> type:
    """Returns KFP's type for a field of config.py: str, int, float or bool."""
    if get_origin(annotation) is Literal:
        annotation = type(get_args(annotation)[0])
    assert annotation in (str, int, float, bool), f"KFP has no parameter type for {annotation}"
    return annotation


MNIST = Pipeline(
    name="mnist",
    description="Handwritten digits, from raw files to a served model",
    entry="pipeline.training:mnist",
    steps=(Ingest, Train, Evaluate, Push),
    whole_run=Run,
    command="local",
    file="pipeline.yaml",
    latest="latest",
    first_options=(
        "source",
        "recipe",
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
    skip_reasons={"push": "the model is not blessed"},
    preimports={
        "ingest": ("components.ingest.ingest",),
        "evaluate": ("components.evaluate.evaluate",),
        "push": ("components.push.push",),
    },
    forked=("train", "evaluate", "push"),
)

PREDICT = Pipeline(
    name="predict",
    description="What came in: what the champion says of it, and whether it looks as it did",
    entry="pipeline.prediction:predict_and_watch",
    steps=(Predict, Watch, Retrain),
    whole_run=Notification,
    command="predict",
    file="predict.yaml",
    latest="latest-predict",
    first_options=(
        "source",
        "span",
        "until",
        "destination",
        "model_name",
        "version",
        "webhook",
        "runner",
    ),
    written=("cache",),
    fills_registry=False,
    skip_reasons={"watch": "nothing new", "retrain": "no alarm"},
    preimports={
        "predict": ("components.predict.predict", "components.scoring.classifier"),
        "watch": ("components.watch.watch",),
    },
)

# As MNIST, with a search in place of the one training.
TUNE = replace(
    MNIST,
    name="tune",
    description="Many settings tried, and the best on validation judged and published",
    entry="pipeline.tuning:tuning",
    steps=(Ingest, Tune, Evaluate, Push),
    command="tune",
    file="tune.yaml",
    latest="latest-tune",
    first_options=(
        "source",
        "search",
        "trials",
        "sampler",
        "pruner",
        "parallel",
        "max_steps",
        "network",
        "destination",
        "checkpoints",
    ),
    forked=("tune", "evaluate", "push"),
)

PIPELINES = {pipeline.name: pipeline for pipeline in (MNIST, PREDICT, TUNE)}


def redacted_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a pipeline's parameters as people may see them."""
    return {
        name: ("…" if value else "")
        if name in SECRET
        else redacted_text(value)
        if isinstance(value, str)
        else value
        for name, value in parameters.items()
    }
