"""The prediction pipeline: predict new images, watch where there were any, train after an alarm."""

from typing import Any

from kfp import dsl

from components.config import Notification, Predict, Retrain, Watch
from components.predict.component import predict
from components.retrain.component import retrain
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
            with (
                dsl.If(parameters["retrain"] != "", name="wanted"),
                dsl.If(watched.outputs["Output"] == False, name="alarm"),  # noqa: E712
            ):
                retrained = retrain(
                    predictions=predicted.outputs["predictions"],
                    drift=watched.outputs["drift"],
                    **Retrain.select(parameters),
                )
    configure(predict=predicted, watch=watched, retrain=retrained, summary=summarized)
