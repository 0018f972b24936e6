"""A registry: numbered versions of a model, and which of them is the champion.

A version is published once a run, whole, and never changed. Source of the layout: TensorFlow
Serving, which loads the highest number under a model's directory.
"""

import shlex
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Self

from components.registry.open_storage import open_storage
from components.registry.state import (
    ATTEMPTS,
    Champion,
    Claim,
    Runs,
    Validation,
    VersionManifest,
    content_sha256,
    read,
    swap,
)
from components.registry.storage import (
    MAX_VERSION,
    Conflict,
    Digest,
    NotStoredError,
    Part,
    Storage,
    checked_name,
    version_number,
)
from components.shared.code import NOT_KNOWN, Code
from components.shared.errors import StepError

CONNECTIONS = 16  # small files read at a time


class ForeignVersionError(StepError):
    """A version is not of this registry: it has no manifest, or none that says what it has to."""


class Release(NamedTuple):
    """What a push has to publish."""

    run_id: str
    model_sha256: str
    precision_at_1: float  # on the test split
    validation: Validation
    files: Mapping[str, Path]  # what goes into the version, by its name in the version
    code: Code = NOT_KNOWN  # that trained the model
    copied_from: str = ""  # the version in another registry that this is a copy of
    digests: Mapping[str, Digest] | None = None  # what the files have to be; None: what they are


class Registry:
    """The versions of one model and the champion among them.

    Every method raises a :class:`StepError` where the storage does not do what it is asked.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.location = storage.location

    @classmethod
    def open(cls, destination: str, model_name: str) -> Self:
        """Opens the registry of a model in a directory or a bucket."""
        return cls(open_storage(destination, model_name))

    def versions(self) -> list[int]:
        """Returns the published versions, oldest first."""
        return self.storage.versions()

    def manifest(self, version: int) -> VersionManifest:
        """Reads the manifest of a version.

        Raises:
            ForeignVersionError: There is none, or it is broken.
        """
        self._expect(version)
        return self._read_manifest(version)

    def manifests(self) -> dict[int, VersionManifest | ForeignVersionError]:
        """Reads the manifest of every version, several at a time, oldest version first."""

        def read_one(version: int) -> VersionManifest | ForeignVersionError:
            try:
                return self._read_manifest(version)
            except ForeignVersionError as error:
                return error

        versions = self.versions()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return dict(zip(versions, pool.map(read_one, versions), strict=True))

    def read_file(self, version: int, name: str) -> bytes:
        """Reads a small file of a version.

        Raises:
            NotStoredError: It is not there.
        """
        with self.storage.open(f"{version}/{name}") as file:
            return file.read()

    def fetch(self, version: int, cache: Path) -> Path:
        """Returns a local directory with a version's files, downloaded to ``cache`` if far.

        Raises:
            StepError: A file is not the one that was published.
        """
        manifest = self.manifest(version)
        directory = self.storage.fetch(version, cache)
        if problems := self._problems(manifest, version, directory):
            raise StepError(
                f"{self.location}/{version}: {problems[0]}; roll back or promote another"
            )
        return directory

    def published_by(self, run_id: str, model_sha256: str) -> int | None:
        """Returns the version that a run, or any run with the same model, has published."""
        runs = read(self.storage, Runs) or Runs()
        version = _version_of(runs, run_id, model_sha256, self.versions())
        return version if version is not None and self._holds(version, model_sha256) else None

    def publish(self, release: Release) -> int:
        """Publishes a version, once a run however often it is called, and returns its number."""
        if not release.run_id.isprintable() or len(release.run_id) > 200:
            raise StepError(f"run id {release.run_id!r}: expected at most 200 printable characters")
        digests = release.digests or {
            checked_name(name): _digest(path) for name, path in release.files.items()
        }
        for _ in range(ATTEMPTS):
            claim = self._claim(release, content_sha256(digests))
            if claim.version not in self.versions():
                try:
                    self._write(claim, release, digests)
                    return claim.version
                except Conflict:
                    pass  # another attempt was quicker, or something else lies there
            if self._holds(claim.version, release.model_sha256):
                return claim.version
            self._drop_claims({claim.version})
        raise StepError(f"{self.location}: others keep taking the numbers; try again")

    def promotion(self, version: int) -> str:
        """Returns the command that makes a version the champion."""
        destination, _, model_name = self.location.rpartition("/")
        return (
            f"python -m components.registry promote {version} "
            f"--destination {shlex.quote(destination or '.')} --model-name {model_name}"
        )

    def verify(self, version: int) -> list[str]:
        """Reads a version's files through and returns what is wrong with them, one line each."""
        return self._problems(self.manifest(version), version)

    def champion(self) -> Champion | None:
        """Returns which version is in use, None where none was promoted yet.

        It may be one that is not there, where somebody removed it by hand: see :meth:`in_use`.
        """
        return read(self.storage, Champion)

    def in_use(self) -> int | None:
        """Returns the champion's version, None where none was promoted yet.

        Raises:
            StepError: The champion is not there.
        """
        champion = self.champion()
        if champion is None:
            return None
        if not self.storage.contains(champion.version):
            raise StepError(
                f"{self.location}/{Champion.FILE}: names version {champion.version}, which is not "
                f"there; roll back, or promote one of: {self._known_versions()}"
            )
        return champion.version

    def advance(
        self, version: int, may_replace: Callable[[int], bool] = lambda _: True
    ) -> Champion:
        """Makes a version the champion unless a later one has been champion already.

        So neither the slower of two pushes nor a retried one undoes a promotion or a rollback. A
        later one that is not there does not count.

        Args:
            version: The version.
            may_replace: Says of the champion, as it is when it would be replaced, whether it may.
        """

        def change(champion: Champion | None) -> Champion:
            there, last = self.versions(), self._last()
            if champion is None:
                return Champion(version=version, highest=version)
            behind = version not in there or version <= champion.ever(last)
            if champion.version in there and (behind or not may_replace(champion.version)):
                return champion
            return champion.followed_by(version, last)

        self._expect(version)
        return self._keep_in_use(swap(self.storage, Champion, change))

    def promote(self, version: int) -> Champion:
        """Makes a version the champion, whichever was before."""

        def change(champion: Champion | None) -> Champion:
            self._expect(version)
            if champion is None:
                return Champion(version=version, highest=version)
            return champion.followed_by(version, self._last())

        return self._keep_in_use(swap(self.storage, Champion, change))

    def rollback(self, dry_run: bool = False) -> Champion:
        """Makes the last champion before this one that is still published the champion again."""

        def change(champion: Champion | None) -> Champion:
            before = champion and champion.rolled_back(self.versions(), self._last())
            if before is None:
                raise StepError(
                    f"{self.location}: no earlier champion to go back to; promote one of: "
                    f"{self._known_versions()}"
                )
            return before

        if dry_run:
            return change(self.champion())
        return self._keep_in_use(swap(self.storage, Champion, change))

    def removable(self, keep: int, grace: float) -> tuple[list[int], list[str]]:
        """Returns what a prune would remove: versions, and leftovers of killed pushes.

        Args:
            keep: Versions kept, the newest ones; the champion is kept besides.
            grace: Seconds since the last write for which leftovers may be those of a push that
                still runs.
        """
        champion = self.in_use()
        old = self.versions()[:-keep] if champion else []
        before, last = time.time() - grace, self._last()
        leftovers = self.storage.leftovers()
        return [version for version in old if version != champion], [
            name
            for name, written in leftovers.items()
            # A number beyond all that were given out is somebody else's.
            if written <= before and (version_number(name) or 0) <= last
        ]

    def remove(
        self, versions: list[int], leftovers: list[str], grace: float = 0
    ) -> tuple[list[int], list[str]]:
        """Removes what :meth:`removable` named, but for what has changed since.

        A version that was promoted meanwhile stays, and so does a leftover that a push took up.

        Returns:
            What was removed of each.

        Raises:
            StepError: One could not be removed; says which were.
        """
        removed: list[int] = []
        cleared: list[str] = []
        before = time.time() - grace
        if versions and self.champion() is None:
            raise StepError(f"{self.location}: no champion yet; promote a version first")
        try:
            removed.extend(
                v for v in versions if self.storage.remove(v, partial(self._is_unneeded, v))
            )
            cleared.extend(name for name in leftovers if self.storage.remove_leftover(name, before))
        except StepError as error:
            done = ", ".join([*map(str, removed), *cleared]) or "nothing"
            raise StepError(f"{error} (removed before that: {done})") from None
        finally:
            if versions:
                self._drop_claims(set(versions).difference(self.versions()))
        return removed, cleared

    def _drop_claims(self, versions: set[int]) -> None:
        """Gives up the claims on numbers, which are not given out again."""
        swap(self.storage, Runs, lambda runs: (runs or Runs()).without(versions))

    def _last(self) -> int:
        """Returns the highest number ever given out, or taken by somebody."""
        runs = read(self.storage, Runs) or Runs()
        return max(runs.last, *self.versions(), 0)

    def _expect(self, version: int) -> None:
        if not self.storage.contains(version):
            raise StepError(
                f"{self.location}: no version {version}, expected one of: {self._known_versions()}"
            )

    def _read_manifest(self, version: int) -> VersionManifest:
        location = f"{self.location}/{version}/{VersionManifest.FILE}"
        try:
            data = self.read_file(version, VersionManifest.FILE)
        except NotStoredError:
            raise ForeignVersionError(f"{location}: not found; not of this registry") from None
        try:
            return VersionManifest.parse(data, location)
        except StepError as error:
            raise ForeignVersionError(str(error)) from None

    def _known_versions(self) -> str:
        """Returns the published versions as an error names them."""
        return ", ".join(map(str, self.versions())) or "none"

    def _holds(self, version: int, model_sha256: str) -> bool:
        """Returns whether a version is one of this registry's, of that model, and whole."""
        if not self.storage.contains(version):
            return False
        try:
            manifest = self.manifest(version)
        except ForeignVersionError:
            return False
        return manifest.model_sha256 == model_sha256 and not self._problems(manifest, version)

    def _problems(
        self, manifest: VersionManifest, version: int, copy: Path | None = None
    ) -> list[str]:
        """Reads a version's files through, or a copy's, and returns what is wrong with them."""
        there = set(self.storage.files(version)) - {VersionManifest.FILE}
        problems = [f"{name}: not in the manifest" for name in sorted(there - set(manifest.files))]
        if manifest.version != version:
            problems.append(f"{VersionManifest.FILE}: of version {manifest.version}")
        for name, expected in manifest.files.items():
            if name not in there:
                problems.append(f"{name}: missing")
                continue
            path = f"{version}/{checked_name(name)}"
            with (copy / name).open("rb") if copy else self.storage.open(path) as file:
                found = Digest.of(file)
            if found != expected:
                problems.append(
                    f"{name}: sha256 {found.sha256}, {found.size:,} bytes, expected "
                    f"{expected.sha256}, {expected.size:,} bytes"
                )
        return problems

    def _write(self, claim: Claim, release: Release, digests: Mapping[str, Digest]) -> None:
        """Publishes a release under the number that was claimed for it."""
        manifest = VersionManifest(
            version=claim.version,
            run_id=release.run_id,
            created=claim.created,
            model_sha256=release.model_sha256,
            precision_at_1=release.precision_at_1,
            validation=claim.validation,
            files=dict(digests),
            code=release.code,
            copied_from=release.copied_from,
        )
        parts = {name: Part(path, digests[name]) for name, path in release.files.items()}
        with TemporaryDirectory() as scratch:
            manifest.write(Path(scratch))
            path = Path(scratch) / VersionManifest.FILE
            parts[VersionManifest.FILE] = Part(path, _digest(path))
            self.storage.publish(claim.version, parts)

    def _claim(self, release: Release, content: str) -> Claim:
        """Has a run own a number, a new one where it has none of this content yet."""

        def change(runs: Runs | None) -> Runs:
            runs = runs or Runs()
            versions = self.versions()
            published = _version_of(runs, release.run_id, release.model_sha256, versions)
            mine = runs.runs.get(release.run_id)
            going_on = published is None and mine and mine.content_sha256 == content
            if mine and (going_on or published == mine.version):
                return runs  # an attempt before this one claimed it
            free = max(runs.last, *self.storage.taken_numbers(), 0) + 1
            if not published and free > MAX_VERSION:
                raise StepError(
                    f"{self.location}/{free - 1}: no number is left above it; remove it"
                )
            claim = Claim(
                version=published or free,
                model_sha256=release.model_sha256,
                content_sha256=content,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                validation=release.validation,
            )
            return runs.owned_by(release.run_id, claim)

        return swap(self.storage, Runs, change).runs[release.run_id]

    def _is_unneeded(self, version: int) -> bool:
        """Returns whether another version is in use at this moment."""
        champion = self.champion()
        return champion is not None and champion.version != version

    def _keep_in_use(self, champion: Champion) -> Champion:
        """Returns the champion once no removal that is under way can remove it.

        Raises:
            StepError: One was quicker; the champion before is in use again.
        """
        if self.storage.hold(champion.version):
            return champion

        def change(current: Champion | None) -> Champion:
            before = current and current.rolled_back(self.versions(), self._last())
            return before if current == champion and before else current or champion

        now = swap(self.storage, Champion, change).version
        raise StepError(
            f"{self.location}/{champion.version}: was removed meanwhile; the champion is {now}"
        )


def _digest(path: Path) -> Digest:
    with path.open("rb") as file:
        return Digest.of(file)


def _version_of(runs: Runs, run_id: str, model_sha256: str, versions: list[int]) -> int | None:
    """Returns the version that a run, or any run with the same model, owns; None if none."""
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
        destination: The registry: a directory, or an address in a bucket.
        model_name: The model's name in it.
        cache: An empty directory for what has to be downloaded.

    Raises:
        StepError: The registry cannot be read, or names a champion that it does not have.
    """
    registry = Registry.open(destination, model_name)
    version = registry.in_use()
    return registry.fetch(version, cache) if version else None
