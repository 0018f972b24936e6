"""The champion: the published model that a new one has to live up to."""

from components.evaluate.figures import Tally
from components.evaluate.scoring import Batch, Classifier
from components.evaluate.significance import mcnemar
from components.shared.evaluation import Champion


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
