"""The training that an alarm starts on this machine, once the run that saw it is over."""

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from components.retrain.start import training_name
from components.shared.command_line import argument
from components.shared.outcome import Outcome
from components.shared.predictions import Reference
from pipeline.local.record import OUTCOMES_DIRECTORY, PREDICTIONS, read_runs
from pipeline.pipelines import MNIST


def earlier_training(runs: Path, parameters: dict[str, Any]) -> str:
    """Says which training of a model an alarm started within the pause; empty where none did.

    Args:
        runs: The directory that holds the runs.
        parameters: Of the run of predict that is about to begin.
    """
    since = datetime.now().astimezone() - timedelta(parameters["retrain_pause"])
    start = training_name(parameters["model_name"], "")
    found = [
        (record.started, record.name)
        for _, record in read_runs(runs)
        if record.name.startswith(start) and record.started > since
    ]
    if not found:
        return ""
    began, name = max(found)
    return f"{name} began {began:%Y-%m-%d %H:%M}"


def training_command(directory: Path, parameters: dict[str, Any], more: list[str]) -> list[str]:
    """Returns the command of the training that a run's alarm starts; none where it starts none.

    Args:
        directory: The run's.
        parameters: Its parameters by name.
        more: Options of a run besides the pipeline's parameters.
    """
    outcome = Outcome.read(directory / OUTCOMES_DIRECTORY, "retrain")
    if not outcome or not outcome.training:
        return []
    given = Reference.read(directory / PREDICTIONS).training(
        parameters["retrain"], parameters["destination"], parameters["model_name"]
    )
    options = [argument(name, value) for name, value in given.items()]
    command = [sys.executable, "-m", "pipeline", MNIST.command, "--run-name", outcome.training]
    return [*command, *more, *options]
