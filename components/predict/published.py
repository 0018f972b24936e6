"""Which published model predicts: one version for the whole of an output, loaded once a process."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from components.config import Predict
from components.registry.registry import Registry
from components.shared.errors import StepError
from components.shared.manifests import Described, Model
from components.shared.predictions import Reference


class PublishedModel(NamedTuple):
    """A published version; it is sent to every worker, so it holds no model."""

    destination: str
    model_name: str
    version: int
    sha256: str
    described: Described
    reference: bytes  # its reference.json; empty where it has none

    @classmethod
    def find(cls, config: Predict) -> "PublishedModel":
        """Finds the version that a configuration asks for.

        Raises:
            StepError: There is none, or it is not the one that was published.
        """
        registry = Registry.open(config.destination, config.model_name)
        version = config.version or registry.in_use()
        if version is None:
            raise StepError(
                f"{registry.location}: no champion yet; publish a model, or name a version with "
                "--version"
            )
        with TemporaryDirectory() as cache:
            directory = registry.fetch(version, Path(cache))
            sha256 = registry.manifest(version).model_sha256
            return cls(
                config.destination,
                config.model_name,
                version,
                sha256,
                Model.described_in(directory),
                _reference(directory, sha256),
            )

    def trained_on(self) -> Reference | None:
        """What the model was trained on; None where it was published without."""
        name = f"{self.destination}: {Reference.FILE}"
        return Reference.parse(self.reference, name) if self.reference else None

    def load(self) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
        """Loads the version, downloaded for that where it is far.

        Returns:
            The function from images, uint8 ``[n, height, width]``, to the probabilities of their
            classes, float32 ``[n, classes]``. It asks the model for the same batches whoever calls
            it, so that its answers are the same to the last bit. It raises a StepError where what
            the model gives is not a distribution over the classes.

        Raises:
            StepError: A file is not the one that was published, or the model does not load.
        """
        # TensorFlow is for the workers, and its import takes seconds.
        from components.scoring.classifier import BATCH, classifier, load

        described = self.described
        with TemporaryDirectory() as cache:
            registry = Registry.open(self.destination, self.model_name)
            directory = registry.fetch(self.version, Path(cache))
            model: Any = load(directory, described.image_shape, len(described.class_names))
        classify = classifier(model, str(directory))

        def answers(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            found = np.empty((len(images), len(described.class_names)), np.float32)
            for start in range(0, len(images), BATCH):
                found[start : start + BATCH] = classify(images[start : start + BATCH])
            return found

        return answers


def _reference(directory: Path, sha256: str) -> bytes:
    """Returns a version's ``reference.json``, which names the version's model by its sum here.

    Releases up to 0.2.0 summed models up otherwise. It is of this version all the same: its files
    were held against the registry's checksums.
    """
    path = directory / Reference.FILE
    if not path.is_file():
        return b""
    reference = Reference.read(directory)
    if reference.model_sha256 == sha256:
        return path.read_bytes()
    return reference.model_copy(update={"model_sha256": sha256}).text.encode()
