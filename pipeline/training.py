"""The training pipeline: ingest, train, evaluate, and push where evaluation blesses the model."""

from collections.abc import Callable
from typing import Any

from kfp import dsl

from components.config import Evaluate, Ingest, Notification, Push, Train
from components.evaluate.component import evaluate
from components.ingest.component import ingest
from components.push.component import push
from components.summary.component import summary
from components.train.component import train
from pipeline.cluster import configure
from pipeline.pipelines import MNIST


def from_source_to_registry(
    parameters: dict[str, Any], step: str, learn: Callable[[Any], dsl.PipelineTask]
) -> None:
    """Composes the steps around the one that makes a model of a dataset.

    Args:
        parameters: The pipeline's.
        step: The name of that step.
        learn: Makes it of ingest's examples.
    """
    summarized = summary(
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        source=parameters["source"],
        destination=parameters["destination"],
        **Notification.select(parameters),
    )
    with dsl.ExitHandler(summarized):
        ingested = ingest(
            destination=parameters["destination"],
            model_name=parameters["model_name"],
            no_champion=parameters["no_champion"],
            **Ingest.select(parameters),
        )
        learned = learn(ingested.outputs["examples"])
        evaluated = evaluate(
            examples=ingested.outputs["examples"],
            model=learned.outputs["model"],
            destination=parameters["destination"],
            model_name=parameters["model_name"],
            no_push=parameters["no_push"],
            **Evaluate.select(parameters),
        )
        with dsl.If(evaluated.outputs["Output"] == True, name="blessed"):  # noqa: E712
            pushed = push(
                model=learned.outputs["model"],
                evaluation=evaluated.outputs["evaluation"],
                run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                **Push.select(parameters),
            )
    configure(
        **{step: learned},
        ingest=ingested,
        evaluate=evaluated,
        push=pushed,
        summary=summarized,
    )


@dsl.pipeline(name=MNIST.name, description=MNIST.description)
@MNIST.with_parameters
def mnist(parameters: dict[str, Any]) -> None:
    """Composes the steps; the parameters are those of config.py."""

    def learn(examples: Any) -> dsl.PipelineTask:
        checkpoints = parameters["checkpoints"]
        return train(examples=examples, checkpoints=checkpoints, **Train.select(parameters))

    from_source_to_registry(parameters, "train", learn)
