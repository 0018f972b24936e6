"""The registry's own JSON files, and how they are replaced while several processes change them.

A version's manifest is written once; the champion and the runs' claims are replaced by
compare-and-swap.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, ClassVar, TypeVar

from pydantic import BaseModel, Field

from components.registry.storage import MAX_VERSION, Conflict, Digest, Storage
from components.shared.code import NOT_KNOWN, Code
from components.shared.errors import StepError
from components.shared.manifests import Manifest

Number = Annotated[int, Field(ge=1, le=MAX_VERSION)]
Highest = Annotated[int, Field(ge=0, le=MAX_VERSION)]
MOST_PREVIOUS = 100  # earlier champions that a rollback can go back to
ATTEMPTS = 30  # at a file that others keep replacing


class Validation(BaseModel):
    """What push found of a model in a fresh process, before it published it."""

    samples: int
    largest_difference: float  # between a probability and the one evaluate saw
    latency_ms: dict[int, float]  # median, by batch size
    size_bytes: int  # of the SavedModel


class VersionManifest(Manifest):
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
    copied_from: str = ""  # the version in another registry that this is a copy of


class Champion(Manifest):
    """``champion.json``: the version in use."""

    FILE: ClassVar[str] = "champion.json"
    REMEDY: ClassVar[str] = "remove it and promote a version"

    version: Number
    previous: tuple[Number, ...] = ()  # champions before it, the last one first, for a rollback
    highest: Highest = 0  # highest version ever champion: a push never goes back behind it

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
        return Champion(version=version, previous=previous[:MOST_PREVIOUS], highest=highest)


class Claim(BaseModel):
    """A version number that a run owns, with what else its attempts have to agree on."""

    version: Number
    model_sha256: str
    content_sha256: str  # of everything the run publishes but the manifest
    created: str  # ISO 8601, UTC
    validation: Validation  # of the attempt that claimed the number


class Runs(Manifest):
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


def content_sha256(files: Mapping[str, Digest]) -> str:
    """Identifies a version's files: sha256 over their names and sha256 sums."""
    lines = (f"{digest.sha256}  {name}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


File = TypeVar("File", bound=Manifest)


def read(storage: Storage, kind: type[File]) -> File | None:
    """Reads a manifest, None where there is none."""
    return _read(storage, kind)[0]


def swap(storage: Storage, kind: type[File], change: Callable[[File | None], File]) -> File:
    """Replaces a manifest by what ``change`` makes of it.

    Args:
        storage: Where it lies.
        kind: Which it is.
        change: Is called again with the new manifest where somebody else was quicker.

    Returns:
        The manifest that lies there now.
    """
    written = None
    for _ in range(ATTEMPTS):
        current, generation = _read(storage, kind)
        if current is not None and current == written:
            return current  # the conflict was with this very write, whose answer got lost
        changed = change(current)
        if changed == current:
            return changed
        try:
            data = changed.model_dump_json(indent=2) + "\n"
            storage.replace(kind.FILE, data.encode(), generation)
        except Conflict:
            written = changed
            continue
        return changed
    raise _too_busy(storage, kind)


def _read(storage: Storage, kind: type[File]) -> tuple[File | None, str]:
    for _ in range(ATTEMPTS):
        try:
            data, generation = storage.read(kind.FILE)
        except Conflict:
            continue
        location = f"{storage.location}/{kind.FILE}"
        return (None if data is None else kind.parse(data, location)), generation
    raise _too_busy(storage, kind)


def _too_busy(storage: Storage, kind: type[Manifest]) -> StepError:
    return StepError(f"{storage.location}/{kind.FILE}: others keep replacing it; try again")
