"""The pipeline: ingest, train, evaluate, and push where evaluation blesses the model."""

from kfp import dsl

from components.config import Evaluate, Ingest, Push, Run, Train
from components.evaluate.component import evaluate
from components.ingest.component import ingest
from components.push.component import push
from components.summary.component import summary
from components.train.component import train
from pipeline.cluster import configure
from pipeline.pipelines import MNIST


@dsl.pipeline(name=MNIST.name, description=MNIST.description)
def mnist(
    source: str = Ingest.source,
    class_names: str = Ingest.class_names,
    image_column: str = Ingest.image_column,
    label_column: str = Ingest.label_column,
    grey: bool = Ingest.grey,
    resize: str = Ingest.resize,
    transpose: bool = Ingest.transpose,
    validation_size: int = Ingest.validation_size,
    validation_share: float = Ingest.validation_share,
    test_share: float = Ingest.test_share,
    span: int = Ingest.span,
    until: str = Ingest.until,
    shard_size: int = Ingest.shard_size,
    max_rejected: float = Ingest.max_rejected,
    previous: str = Ingest.previous,
    max_drift: float = Ingest.max_drift,
    cache: str = Ingest.cache,
    hidden: str = Train.hidden,
    batch_size: int = Train.batch_size,
    max_steps: int = Train.max_steps,
    learning_rate: float = Train.learning_rate,
    decay: str = Train.decay,
    momentum: float = Train.momentum,
    shift: int = Train.shift,
    seed: int = Train.seed,
    log_every: int = Train.log_every,
    checkpoint_every: int = Train.checkpoint_every,
    checkpoint_seconds: float = Train.checkpoint_seconds,
    keep_checkpoints: int = Train.keep_checkpoints,
    precision: str = Train.precision,
    xla: bool = Train.xla,
    restart: bool = Train.restart,
    worker_timeout: int = Train.worker_timeout,
    data_path: str = Train.data_path,
    resident_mib: int = Train.resident_mib,
    min_precision: float = Evaluate.min_precision,
    max_regression: float = Evaluate.max_regression,
    no_champion: bool = Evaluate.no_champion,
    min_class_recall: float = Evaluate.min_class_recall,
    max_gap: float = Evaluate.max_gap,
    max_latency_ms: float = Evaluate.max_latency_ms,
    model_timeout: int = Evaluate.model_timeout,
    destination: str = Push.destination,
    model_name: str = Push.model_name,
    export: str = Push.export,
    max_serving_ms: float = Push.max_serving_ms,
    max_model_mib: float = Push.max_model_mib,
    checkpoints: str = Run.checkpoints,
    webhook: str = Run.webhook,
    run_page: str = Run.run_page,
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
        ingested = ingest(**Ingest.select(given))
        trained = train(
            examples=ingested.outputs["examples"], checkpoints=checkpoints, **Train.select(given)
        )
        evaluated = evaluate(
            examples=ingested.outputs["examples"],
            model=trained.outputs["model"],
            destination=destination,
            model_name=model_name,
            **Evaluate.select(given),
        )
        with dsl.If(evaluated.outputs["Output"] == True, name="blessed"):  # noqa: E712
            pushed = push(
                model=trained.outputs["model"],
                evaluation=evaluated.outputs["evaluation"],
                run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                **Push.select(given),
            )
    configure(ingest=ingested, train=trained, evaluate=evaluated, push=pushed, summary=told)
