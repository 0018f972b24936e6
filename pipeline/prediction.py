"""The pipeline of what came in: predict, and watch where there was something new."""

from kfp import dsl

from components.config import Notification, Predict, Watch
from components.predict.component import predict
from components.summary.component import summary
from components.watch.component import watch
from pipeline.cluster import configure
from pipeline.pipelines import PREDICT


@dsl.pipeline(name=PREDICT.name, description=PREDICT.description)
def predict_and_watch(
    source: str = Predict.source,
    class_names: str = Predict.class_names,
    image_column: str = Predict.image_column,
    label_column: str = Predict.label_column,
    grey: bool = Predict.grey,
    resize: str = Predict.resize,
    transpose: bool = Predict.transpose,
    span: int = Predict.span,
    until: str = Predict.until,
    shard_size: int = Predict.shard_size,
    max_rejected: float = Predict.max_rejected,
    cache: str = Predict.cache,
    destination: str = Predict.destination,
    model_name: str = Predict.model_name,
    version: int = Predict.version,
    max_ink_psi: float = Watch.max_ink_psi,
    max_pixel_distance: float = Watch.max_pixel_distance,
    max_class_change: float = Watch.max_class_change,
    low_confidence: float = Watch.low_confidence,
    max_low_confidence: float = Watch.max_low_confidence,
    webhook: str = Notification.webhook,
    run_page: str = Notification.run_page,
) -> None:
    """Composes the steps; the parameters are those of config.py."""
    given = locals()
    told = summary(
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        run_page=run_page,
        source=source,
        destination=destination,
        webhook=webhook,
    )
    with dsl.ExitHandler(told):
        predicted = predict(**Predict.select(given))
        with dsl.If(predicted.outputs["Output"] > 0, name="images"):
            watched = watch(predictions=predicted.outputs["predictions"], **Watch.select(given))
    configure(predict=predicted, watch=watched, summary=told)
