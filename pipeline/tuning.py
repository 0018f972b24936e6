"""The tuning pipeline: ingest once, a search, and its best model judged and published."""

from typing import Any

from kfp import dsl

from components.config import Tune
from components.tune.component import tune
from pipeline.pipelines import TUNE
from pipeline.training import from_source_to_registry


@dsl.pipeline(name=TUNE.name, description=TUNE.description)
@TUNE.with_parameters
def tuning(parameters: dict[str, Any]) -> None:
    """Composes the steps; the parameters are those of config.py."""

    def learn(examples: Any) -> dsl.PipelineTask:
        checkpoints = parameters["checkpoints"]
        return tune(examples=examples, checkpoints=checkpoints, **Tune.select(parameters))

    from_source_to_registry(parameters, "tune", learn)
