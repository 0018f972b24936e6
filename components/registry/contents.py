"""The registry's own JSON files: a version's manifest, the champion, and which run owns what."""

import hashlib
from collections.abc import Collection
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field, field_validator

from components.registry.storage import MAX_VERSION, Digest
from components.registry.swap import Kept
from components.shared.code import NOT_KNOWN, Code

Number = Annotated[int, Field(ge=1, le=MAX_VERSION)]
Highest = Annotated[int, Field(ge=0, le=MAX_VERSION)]
KEPT = 100  # earlier champions that a rollback can go back to


class Validation(BaseModel):
    """What push found of a model in a fresh process, before it published it."""

    samples: int
    largest_difference: float  # between a probability and the one evaluate saw
    latency_ms: dict[int, float]  # median, by batch size
    size_bytes: int  # of the SavedModel


class Version(Kept):
    """``manifest.json``: what a version is made of, and how it came to be."""

    FILE: ClassVar[str] = "manifest.json"
    REMEDY: ClassVar[str] = "publish the model again"

    version: Number
    run_id: str
    created: str  # ISO 8601, UTC
    model_sha256: str  # of the SavedModel as train wrote it
    precision_at_1: float  # on the test split
    validation: Validation
    files: dict[str, Digest]  # by name; all but this one
    code: Code = NOT_KNOWN  # that trained the model


class Champion(Kept):
    """``champion.json``: the version in use."""

    FILE: ClassVar[str] = "champion.json"
    REMEDY: ClassVar[str] = "remove it and promote a version"

    version: Number
    previous: tuple[Number, ...] = ()  # champions before it, the last one first, for a rollback
    highest: Highest = 0  # highest version ever champion: a push never goes back behind it
    retired: tuple[int, ...] = Field(default=(), exclude=True)  # written once, now without meaning

    @field_validator("retired")
    @classmethod
    def _forget(cls, _: tuple[int, ...]) -> tuple[int, ...]:
        return ()

    def ever(self, last: int) -> int:
        """Returns the highest version that was ever champion.

        Args:
            last: The highest number ever given out. What claims to be above it is a mistake.
        """
        known = (self.version, *self.previous, self.highest)
        return max((version for version in known if version <= last), default=0)

    def followed_by(self, version: int, last: int) -> "Champion":
        """Returns the file after a promotion.

        Args:
            version: The one promoted.
            last: As for :meth:`ever`.
        """
        if version == self.version:
            return self
        return self._with(version, (self.version, *self.previous), last)

    def rolled_back(self, there: Collection[int], last: int) -> "Champion | None":
        """Returns the file after a rollback, None where there is no champion to go back to.

        Args:
            there: The versions that are published.
            last: As for :meth:`ever`.
        """
        previous = [version for version in self.previous if version in there]
        return self._with(previous[0], tuple(previous[1:]), last) if previous else None

    def _with(self, version: int, previous: tuple[int, ...], last: int) -> "Champion":
        highest = max(version, self.ever(last))
        return Champion(version=version, previous=previous[:KEPT], highest=highest)


class Claim(BaseModel):
    """A version number that a run owns, with what else its attempts have to agree on."""

    version: Number
    model_sha256: str
    content_sha256: str  # of everything the run publishes but the manifest
    created: str  # ISO 8601, UTC
    validation: Validation  # of the attempt that claimed the number


class Runs(Kept):
    """``runs.json``: which run owns which number, so that its retries publish no second one."""

    FILE: ClassVar[str] = "runs.json"
    REMEDY: ClassVar[str] = "restore it from a backup"

    last: Highest = 0  # highest number ever given out
    runs: dict[str, Claim] = Field(default_factory=dict)

    def owned_by(self, run_id: str, claim: Claim) -> "Runs":
        """Returns the file after a claim."""
        last = max(self.last, claim.version)
        return Runs(last=last, runs={**self.runs, run_id: claim})

    def without(self, versions: Collection[int]) -> "Runs":
        """Returns the file after versions were given up; their numbers are not given out again."""
        kept = {run: claim for run, claim in self.runs.items() if claim.version not in versions}
        return Runs(last=self.last, runs=kept)


def content_sha256(files: dict[str, Digest]) -> str:
    """Identifies a version's files: sha256 over their names and sha256 sums."""
    lines = (f"{digest.sha256}  {name}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
