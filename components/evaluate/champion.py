"""The champion: the published model that a new one has to live up to."""

import json
from pathlib import Path

from components.evaluate.figures import Tally
from components.evaluate.scoring import Batch, Classifier
from components.evaluate.significance import mcnemar
from components.shared.errors import StepError
from components.shared.evaluation import Champion


def champion_model(destination: str, model_name: str) -> Path | None:
    """Finds the champion in a registry.

    Args:
        destination: The registry.
        model_name: The model's name in it.

    Returns:
        The SavedModel of the champion, or None where none was published yet.

    Raises:
        StepError: The registry names a champion that it does not have.
    """
    root = Path(destination) / model_name
    pointer = root / "champion.json"
    try:
        version = json.loads(pointer.read_bytes())["version"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise StepError(f"{pointer}: unreadable, expected a version; promote one anew") from None
    directory = root / str(version)
    if not directory.is_dir():
        raise StepError(f"{pointer}: version {version} is not in {root}; promote another one")
    return directory


class Comparison:
    """Scores the champion on the batches that the model is scored on."""

    def __init__(self, classify: Classifier, name: str) -> None:
        self._classify = classify
        self._name = name
        self._tally = Tally()
        self._gained = self._lost = 0

    def add(self, batch: Batch) -> None:
        """Takes in a batch."""
        said = batch._replace(probabilities=self._classify(batch.images))
        self._tally.add(said)
        ours, theirs = batch.predicted == batch.labels, said.predicted == batch.labels
        self._gained += int((ours & ~theirs).sum())
        self._lost += int((theirs & ~ours).sum())

    def result(self) -> Champion:
        """Returns the champion's figures and how the models differ."""
        return Champion(
            name=self._name,
            test=self._tally.result(),
            gained=self._gained,
            lost=self._lost,
            p_value=mcnemar(self._gained, self._lost),
        )
