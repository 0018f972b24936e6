"""Which published model predicts: one version for the whole of an output."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from components.config import Predict
from components.registry.registry import Registry
from components.shared.errors import StepError
from components.shared.manifests import Described, Model
from components.shared.predictions import Reference


class Champion(NamedTuple):
    """A published version; it is sent to every worker, so it holds no model."""

    destination: str
    model_name: str
    version: int
    sha256: str
    described: Described
    reference: bytes  # its reference.json; empty where it has none

    @classmethod
    def find(cls, config: Predict) -> "Champion":
        """Finds the version that a configuration asks for.

        Raises:
            StepError: There is none, or it is not the one that was published.
        """
        registry = Registry.open(config.destination, config.model_name)
        version = config.version or registry.in_use()
        if version is None:
            raise StepError(
                f"{registry.where}: no champion yet; publish a model, or name a version with "
                "--version"
            )
        with TemporaryDirectory() as cache:
            directory = registry.fetch(version, Path(cache))
            reference = directory / Reference.FILE
            return cls(
                config.destination,
                config.model_name,
                version,
                registry.manifest(version).model_sha256,
                Model.described_in(directory),
                reference.read_bytes() if reference.is_file() else b"",
            )

    def fetch(self, cache: Path) -> Path:
        """Returns a local directory with the version's files, downloaded to ``cache`` if far.

        Raises:
            StepError: A file is not the one that was published.
        """
        return Registry.open(self.destination, self.model_name).fetch(self.version, cache)
