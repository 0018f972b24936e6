"""The champion: the published model that a new one has to live up to."""

from collections.abc import Sequence
from pathlib import Path

from components.evaluate.figures import Tally
from components.evaluate.scoring import Batch
from components.scoring.classifier import Classifier, classifier, load
from components.shared.errors import StepError
from components.shared.evaluation import Comparison
from components.shared.manifests import Dataset, Model
from components.shared.significance import mcnemar


class ComparisonTally:
    """Scores the champion on the batches that the model is scored on."""

    def __init__(self, classify: Classifier, name: str, class_names: Sequence[str]) -> None:
        self._classify = classify
        self._name = name
        self._tally = Tally(class_names)
        self._gained = self._lost = 0

    def add(self, batch: Batch) -> None:
        """Takes in a batch."""
        said = batch._replace(probabilities=self._classify(batch.images))
        self._tally.add(said)
        ours, theirs = batch.predicted == batch.labels, said.predicted == batch.labels
        self._gained += int((ours & ~theirs).sum())
        self._lost += int((theirs & ~ours).sum())

    def result(self) -> Comparison:
        """Returns the champion's figures and how the models differ."""
        return Comparison(
            name=self._name,
            test=self._tally.result(),
            gained=self._gained,
            lost=self._lost,
            p_value=mcnemar(self._gained, self._lost),
        )


def compare(saved_model: Path, dataset: Dataset) -> ComparisonTally:
    """Returns what will compare a model with the champion on a data set.

    Args:
        saved_model: The champion's SavedModel, with its ``model.json`` beside it where it comes
            from a registry.
        dataset: What both are scored on.

    Raises:
        StepError: The champion is not a model for this data set.
    """
    name = f"version {saved_model.name}"
    try:
        loaded = load(saved_model, dataset.image_shape, len(dataset.class_names))
        names = Model.class_names_in(saved_model)
        if names and (difference := dataset.differs_in_classes(names)):
            raise StepError(f"{saved_model}: {difference}")
    except StepError as error:
        raise StepError(
            f"the champion cannot be compared: {error}; judge the model for itself with "
            "--no-champion"
        ) from None
    return ComparisonTally(classifier(loaded, str(saved_model)), name, dataset.class_names)
