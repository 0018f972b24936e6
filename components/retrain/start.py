"""Whether an alarm starts a training, and how it comes that it is one."""

import os
from pathlib import Path

from components.config import Retrain
from components.retrain.kfp_api import Api, token
from components.shared.environment import IN_CLUSTER, OUTCOMES, RETRAINED, RUN_ID
from components.shared.errors import StepError
from components.shared.outcome import Outcome, report_outcome
from components.shared.predictions import Drift, Reference


def start(config: Retrain, predictions: Path, drift: Path) -> None:
    """Starts one training after an alarm that training can mend, and says so.

    An alarm is one with or without a training: why none was started is said, and no error.

    Args:
        config: On what, and how long after the last one.
        predictions: The directory that predict wrote.
        drift: The directory that watch wrote.

    Raises:
        StepError: The directories are not as those steps write them.
    """
    found, reference = Drift.read(drift), Reference.read(predictions)
    name = training_name(found.model_name, os.environ.get(RUN_ID, ""))
    try:
        began = _start(config, found, reference, name)
        said = f"training {name} {'started' if began else 'was started before'}"
    except StepError as error:
        name, said = "", f"no training started: {error}"
    report_outcome(
        Outcome(
            step="retrain",
            result="alarm",
            message=found.line(also=said, advise=not name),
            version=found.version,
            training=name,
        )
    )


def training_name(model_name: str, run: str) -> str:
    """Returns the name of the training that a run of predict starts; without one how all begin."""
    return f"{model_name}-retrain-{run.removeprefix('predict-')}"


def _start(config: Retrain, found: Drift, reference: Reference, name: str) -> bool:
    """Starts a training, or has the runner here start it; returns whether there was none yet.

    Raises:
        StepError: There is to be none; says why.
    """
    if not found.diagnosis:
        raise StepError("there is no alarm")
    if not found.diagnosis.trainable:
        raise StepError(f"{found.diagnosis.cause} is nothing that training mends")
    if not os.environ.get(RUN_ID):
        raise StepError("this is not a step of a run, by which it would be named")
    if os.environ.get(OUTCOMES):  # a run on this machine, which starts it once it is over
        if earlier := os.environ.get(RETRAINED):
            raise StepError(f"{earlier}; the pause is {config.retrain_pause} days")
        return True
    if not os.environ.get(IN_CLUSTER):
        raise StepError("this is neither a pod of a cluster nor a run on this machine")
    api = Api(config.kfp_api.rstrip("/"), token())
    trained = api.run(reference.run) if reference.run else None
    if not trained:
        raise StepError(
            f"the run {reference.run or 'that trained the champion'} is not there to be repeated"
        )
    given = reference.training(config.retrain, found.registry, found.model_name)
    return api.start_once(
        trained, name, given, training_name(found.model_name, ""), config.retrain_pause
    )
