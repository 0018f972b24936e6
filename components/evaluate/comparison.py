"""The champion: the published model that a new one has to live up to."""

from pathlib import Path
from typing import TypeVar

from components.evaluate.figures import Tally
from components.evaluate.scoring import Batch
from components.registry.state import VersionManifest
from components.scoring.classifier import Classifier, classifier, load
from components.shared.errors import StepError
from components.shared.evaluation import Comparison
from components.shared.manifests import Dataset, Evaluation, Manifest, Model
from components.shared.significance import mcnemar
from components.shared.storage import sha256_of_saved_model

AnyManifest = TypeVar("AnyManifest", bound=Manifest)


class ComparisonTally:
    """Scores the champion on the batches that the model is scored on.

    Args:
        classify: The champion.
        saved_model: Where it lies.
        dataset: What both are scored on.
    """

    def __init__(self, classify: Classifier, saved_model: Path, dataset: Dataset) -> None:
        self._classify = classify
        self._saved_model = saved_model
        self._tally = Tally(dataset.class_names)
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
        published = _published(Evaluation, self._saved_model)
        version = _published(VersionManifest, self._saved_model)
        return Comparison(
            name=f"version {self._saved_model.name}",
            model_sha256=(
                version.model_sha256 if version else sha256_of_saved_model(self._saved_model)
            ),
            class_shares=published.splits["test"].class_shares if published else None,
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
    try:
        loaded = load(saved_model, dataset.image_shape, len(dataset.class_names))
        names = Model.class_names_in(saved_model)
        if names and (difference := dataset.differs_in_classes(names)):
            raise StepError(f"{saved_model}: {difference}")
    except StepError as error:
        raise StepError(
            f"the champion cannot be compared: {error}; publish under another --model-name, or "
            "judge the model for itself with --no-champion"
        ) from None
    return ComparisonTally(classifier(loaded, str(saved_model)), saved_model, dataset)


def _published(kind: type[AnyManifest], saved_model: Path) -> AnyManifest | None:
    """Reads a manifest that a version was published with; None where it came without."""
    try:
        return kind.read(saved_model)
    except StepError:
        return None
