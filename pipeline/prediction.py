"""The prediction pipeline: predict new images, and watch for drift where there were any."""

from typing import Any

from kfp import dsl

from components.config import Notification, Predict, Watch
from components.predict.component import predict
from components.summary.component import summary
from components.watch.component import watch
from pipeline.cluster import configure
from pipeline.pipelines import PREDICT


@dsl.pipeline(name=PREDICT.name, description=PREDICT.description)
@PREDICT.with_parameters
def predict_and_watch(parameters: dict[str, Any]) -> None:
    """Composes the steps; the parameters are those of config.py."""
    summarized = summary(
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        source=parameters["source"],
        destination=parameters["destination"],
        **Notification.select(parameters),
    )
    with dsl.ExitHandler(summarized):
        predicted = predict(**Predict.select(parameters))
        with dsl.If(predicted.outputs["Output"] > 0, name="images"):
            watched = watch(
                predictions=predicted.outputs["predictions"], **Watch.select(parameters)
            )
    configure(predict=predicted, watch=watched, summary=summarized)
