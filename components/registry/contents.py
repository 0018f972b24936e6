"""The registry's own JSON files: a version's manifest, the champion, and which run owns what."""

import hashlib
from typing import ClassVar

from pydantic import BaseModel, Field

from components.registry.storage import Digest
from components.shared.manifests import Manifest


class Validation(BaseModel):
    """What push found of a model in a fresh process, before it published it."""

    samples: int
    largest_difference: float  # between a probability and the one evaluate saw
    latency_ms: dict[int, float]  # median, by batch size
    size_bytes: int  # of the SavedModel


class Version(Manifest):
    """``manifest.json``: what a version is made of, and how it came to be."""

    FILE: ClassVar[str] = "manifest.json"

    version: int
    run_id: str
    created: str  # ISO 8601, UTC
    model_sha256: str  # of the SavedModel as train wrote it
    precision_at_1: float  # on the test split
    validation: Validation
    files: dict[str, Digest]  # by name; all but this one


class Champion(Manifest):
    """``champion.json``: the version in use."""

    FILE: ClassVar[str] = "champion.json"

    version: int
    previous: tuple[int, ...] = ()  # champions before it, the last one first, for a rollback
    highest: int = 0  # highest version ever champion: a push never goes back behind it
    retired: tuple[int, ...] = ()  # removed, or about to be: never champion again

    def followed_by(self, version: int) -> "Champion":
        """Returns the file after a promotion."""
        if version == self.version:
            return self
        return self._with(version, (self.version, *self.previous))

    def rolled_back(self) -> "Champion | None":
        """Returns the file after a rollback, None where there is no champion to go back to."""
        previous = tuple(version for version in self.previous if version not in self.retired)
        return self._with(previous[0], previous[1:]) if previous else None

    def retiring(self, versions: list[int]) -> "Champion":
        """Returns the file before versions are removed; the champion is not among them."""
        retired = {*self.retired, *versions} - {self.version}
        return self.model_copy(update={"retired": tuple(sorted(retired))})

    def _with(self, version: int, previous: tuple[int, ...]) -> "Champion":
        highest = max(self.highest, self.version, version)
        return self.model_copy(
            update={"version": version, "previous": previous, "highest": highest}
        )


class Claim(BaseModel):
    """A version number that a run owns, with what else its attempts have to agree on."""

    version: int
    model_sha256: str
    content_sha256: str  # of everything the run publishes but the manifest
    created: str  # ISO 8601, UTC
    validation: Validation  # of the attempt that claimed the number


class Runs(Manifest):
    """``runs.json``: which run owns which number, so that its retries publish no second one."""

    FILE: ClassVar[str] = "runs.json"

    last: int = 0  # highest number ever given out
    runs: dict[str, Claim] = Field(default_factory=dict)

    def owned_by(self, run_id: str, claim: Claim) -> "Runs":
        """Returns the file after a claim."""
        last = max(self.last, claim.version)
        return Runs(last=last, runs={**self.runs, run_id: claim})

    def without(self, versions: set[int]) -> "Runs":
        """Returns the file after versions were given up; their numbers are not given out again."""
        kept = {run: claim for run, claim in self.runs.items() if claim.version not in versions}
        return Runs(last=self.last, runs=kept)


def content_sha256(files: dict[str, Digest]) -> str:
    """Identifies a version's files: sha256 over their names and sha256 sums."""
    lines = (f"{digest.sha256}  {name}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
