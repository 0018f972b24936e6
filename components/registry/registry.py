"""A registry: numbered versions of a model, and which of them is the champion.

Source of the layout: TensorFlow Serving, which loads the highest number under a model's directory.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Self

from components.registry.contents import (
    Champion,
    Claim,
    Runs,
    Validation,
    Version,
    content_sha256,
)
from components.registry.open_storage import open_storage
from components.registry.storage import Digest, Part, Storage, checked_name
from components.registry.swap import parse, read, swap
from components.shared.errors import StepError


class Release(NamedTuple):
    """What a push has to publish."""

    run_id: str
    model_sha256: str
    precision_at_1: float  # on the test split
    validation: Validation
    files: Mapping[str, Path]  # what goes into the version, by name there


class Registry:
    """The versions of one model.

    Every method raises a :class:`StepError` where the storage does not do what it is asked.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.where = storage.where

    @classmethod
    def open(cls, destination: str, model_name: str) -> Self:
        """Opens the registry of a model in a directory or a ``gs://`` bucket."""
        return cls(open_storage(destination, model_name))

    def versions(self) -> list[int]:
        """Returns the published versions, oldest first."""
        return self.storage.versions()

    def manifest(self, version: int) -> Version:
        """Reads the manifest of a version."""
        self._expect(version)
        name = f"{version}/{Version.FILE}"
        if Version.FILE not in self.storage.files(version):
            raise StepError(f"{self.where}/{name}: not found; the version is of another making")
        with self.storage.open(name) as file:
            return parse(self.storage, Version, name, file.read())

    def champion(self) -> Champion | None:
        """Returns which version is in use, None where none was promoted yet."""
        return read(self.storage, Champion)

    def fetch(self, version: int, cache: Path) -> Path:
        """Returns a local directory with a version's SavedModel, downloaded to ``cache`` if far."""
        self._expect(version)
        return self.storage.fetch(version, cache)

    def published_by(self, run_id: str, model_sha256: str) -> int | None:
        """Returns the version that a run, or any run with the same model, has published."""
        runs = read(self.storage, Runs) or Runs()
        return _published(runs, run_id, model_sha256, self.versions())

    def publish(self, release: Release) -> int:
        """Publishes a version, once a run however often it is called, and returns its number."""
        if not release.run_id.isprintable() or len(release.run_id) > 200:
            raise StepError(f"run id {release.run_id!r}: expected at most 200 printable characters")
        digests = {}
        for name, path in release.files.items():
            with path.open("rb") as file:
                digests[checked_name(name)] = Digest.of(file)
        claim = self._claim(release, content_sha256(digests))
        if claim.version in self.versions():
            return claim.version
        manifest = Version(
            version=claim.version,
            run_id=release.run_id,
            created=claim.created,
            model_sha256=release.model_sha256,
            precision_at_1=release.precision_at_1,
            validation=claim.validation,
            files=digests,
        )
        parts = {name: Part(path, digests[name]) for name, path in release.files.items()}
        with TemporaryDirectory() as scratch:
            manifest.write(Path(scratch))
            path = Path(scratch) / Version.FILE
            with path.open("rb") as file:
                parts[Version.FILE] = Part(path, Digest.of(file))
            self.storage.publish(claim.version, parts)
        return claim.version

    def advance(self, version: int) -> Champion:
        """Makes a version the champion unless a later one has been champion already.

        So neither the slower of two pushes nor a retried one undoes a promotion or a rollback.
        """

        def change(champion: Champion | None) -> Champion:
            if champion is None:
                return Champion(version=version, highest=version)
            if version <= max(champion.highest, champion.version) or version in champion.retired:
                return champion
            return champion.followed_by(version)

        return swap(self.storage, Champion, change)

    def promote(self, version: int) -> Champion:
        """Makes a version the champion, whichever was before."""
        self._expect(version)

        def change(champion: Champion | None) -> Champion:
            if champion is None:
                return Champion(version=version, highest=version)
            if version in champion.retired:
                raise StepError(f"{self.where}/{version}: is being removed; promote another one")
            return champion.followed_by(version)

        return swap(self.storage, Champion, change)

    def rollback(self, dry_run: bool = False) -> Champion:
        """Makes the last champion before this one that is still published the champion again."""

        def change(champion: Champion | None) -> Champion:
            before = champion and champion.rolled_back()
            if before is None:
                raise StepError(f"{self.where}: no earlier champion to go back to; promote one")
            return before

        return change(self.champion()) if dry_run else swap(self.storage, Champion, change)

    def verify(self, version: int) -> list[str]:
        """Reads a version's files through and returns what is wrong with them, one line each."""
        manifest = self.manifest(version)
        there = set(self.storage.files(version)) - {Version.FILE}
        problems = [f"{name}: not in the manifest" for name in sorted(there - set(manifest.files))]
        if manifest.version != version:
            problems.append(f"{Version.FILE}: of version {manifest.version}")
        for name, expected in manifest.files.items():
            if name not in there:
                problems.append(f"{name}: missing")
                continue
            with self.storage.open(f"{version}/{checked_name(name)}") as file:
                found = Digest.of(file)
            if found != expected:
                problems.append(
                    f"{name}: sha256 {found.sha256}, {found.size:,} bytes, expected "
                    f"{expected.sha256}, {expected.size:,} bytes"
                )
        return problems

    def removable(self, keep: int, grace: float) -> tuple[list[int], list[str]]:
        """Returns what a prune would remove: versions, and leftovers of killed pushes.

        Args:
            keep: Versions kept, the newest ones; the champion is kept besides.
            grace: Seconds since the last write for which leftovers may be those of a push that
                still runs.
        """
        champion = self.champion()
        old = self.versions()[:-keep] if champion else []
        old = [version for version in old if champion and version != champion.version]
        now = time.time()
        leftovers = self.storage.leftovers()
        return old, [name for name, written in leftovers.items() if now - written >= grace]

    def remove(self, versions: list[int], leftovers: list[str]) -> None:
        """Removes what :meth:`removable` names; a version promoted meanwhile stays.

        Versions are first put down as retired in the champion's file, so that of a removal and a
        promotion at the same time only one comes about.
        """

        def change(champion: Champion | None) -> Champion:
            if champion is None:
                raise StepError(f"{self.where}: no champion yet; promote a version first")
            return champion.retiring(versions)

        if versions:
            retired = swap(self.storage, Champion, change).retired
            given_up = {version for version in versions if version in retired}
            for version in given_up:
                self.storage.retire(version)
            swap(self.storage, Runs, lambda runs: (runs or Runs()).without(given_up))
        for leftover in leftovers:
            self.storage.delete(leftover)

    def _expect(self, version: int) -> None:
        versions = self.versions()
        if version not in versions:
            found = ", ".join(map(str, versions)) or "none"
            raise StepError(f"{self.where}: no version {version}, expected one of: {found}")

    def _claim(self, release: Release, content: str) -> Claim:
        """Has a run own a number, a new one where it has none of this content yet."""

        def change(runs: Runs | None) -> Runs:
            runs = runs or Runs()
            versions = self.versions()
            published = _published(runs, release.run_id, release.model_sha256, versions)
            mine = runs.runs.get(release.run_id)
            going_on = published is None and mine and mine.content_sha256 == content
            if mine and (going_on or published == mine.version):
                return runs  # an attempt before this one claimed it
            claim = Claim(
                version=published or max(runs.last, *versions, 0) + 1,
                model_sha256=release.model_sha256,
                content_sha256=content,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                validation=release.validation,
            )
            return runs.owned_by(release.run_id, claim)

        return swap(self.storage, Runs, change).runs[release.run_id]


def _published(runs: Runs, run_id: str, model_sha256: str, versions: list[int]) -> int | None:
    mine = runs.runs.get(run_id)
    if mine and mine.model_sha256 != model_sha256:
        raise StepError(
            f"run {run_id!r} owns version {mine.version} with another model; give a push of its "
            "own another --run-id"
        )
    same = [claim.version for claim in runs.runs.values() if claim.model_sha256 == model_sha256]
    published = [version for version in same if version in versions]
    return max(published, default=None)


def champion_saved_model(destination: str, model_name: str, cache: Path) -> Path | None:
    """Returns a local directory with the champion's SavedModel, None where there is no champion.

    Args:
        destination: The registry: a directory, or a ``gs://`` address.
        model_name: The model's name in it.
        cache: An empty directory for what has to be downloaded.

    Raises:
        StepError: The registry cannot be read, or names a champion that it does not have.
    """
    registry = Registry.open(destination, model_name)
    champion = registry.champion()
    return registry.fetch(champion.version, cache) if champion else None
