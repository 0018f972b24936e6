"""Whether a model of a data set could take the champion's place, known before it is trained."""

from pydantic import ValidationError

from components.registry.registry import Registry
from components.registry.storage import NotStoredError
from components.shared.errors import StepError
from components.shared.manifests import Dataset, Described, Model


def check_fits_champion(destination: str, model_name: str, dataset: Dataset) -> None:
    """Sees that the champion takes such images and tells such classes apart.

    A registry without a champion takes any; so does a champion that does not say what it is for,
    which evaluate finds out.

    Raises:
        StepError: It does not; says under which name to publish instead.
    """
    registry = Registry.open(destination, model_name)
    version = registry.in_use()
    if version is None:
        return
    try:
        champion = Described.model_validate_json(registry.read_file(version, Model.FILE))
    except (NotStoredError, ValidationError):
        return
    ours, theirs = (" x ".join(map(str, one.image_shape)) for one in (dataset, champion))
    problem = dataset.differs_in_classes(champion.class_names)
    if ours != theirs:
        problem = f"images of {theirs}, the data set has {ours}"
    if problem:
        raise StepError(
            f"version {version} of {model_name} is the champion, for {problem}; publish this model "
            "under another --model-name"
        )
