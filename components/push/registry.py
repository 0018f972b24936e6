"""A registry: numbered versions of a model, and which of them is the champion.

Source of the layout: TensorFlow Serving, which loads the highest number under a model's directory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from components.shared.errors import StepError
from components.shared.manifests import Evaluation, Manifest
from components.shared.storage import whole_directory


class Champion(Manifest):
    """``champion.json``: the version in use."""

    FILE: ClassVar[str] = "champion.json"

    version: int


class Registry:
    """The versions of one model in a local directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def versions(self) -> list[int]:
        """Returns the published versions, oldest first."""
        if not self.root.is_dir():
            return []
        return sorted(int(path.name) for path in self.root.iterdir() if path.name.isdecimal())

    def latest(self) -> int:
        """Returns the newest version.

        Raises:
            StepError: There is none.
        """
        versions = self.versions()
        if not versions:
            raise StepError(f"{self.root}: no version published yet")
        return versions[-1]

    @contextmanager
    def new_version(self) -> Iterator[Path]:
        """Yields a directory that becomes the next version once the block is through."""
        number = max(self.versions(), default=0) + 1
        with whole_directory(self.root / str(number), Evaluation.FILE) as directory:
            yield directory

    def promote(self, version: int) -> None:
        """Makes a version the champion."""
        Champion(version=version).write(self.root)
