"""The versions of a model in a registry: published once a run, whole, and never changed."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, NamedTuple, Self

from pydantic import ValidationError

from components.registry.contents import Claim, Runs, Validation, Version, content_sha256
from components.registry.open_storage import open_storage
from components.registry.storage import MAX_VERSION, Conflict, Digest, Part, Storage, checked_name
from components.registry.swap import ATTEMPTS, parse, read, swap
from components.shared.code import NOT_KNOWN, Code
from components.shared.errors import StepError


class ForeignVersionError(StepError):
    """A version is not of this registry: it has no manifest, or none that says what it has to."""


class Release(NamedTuple):
    """What a push has to publish."""

    run_id: str
    model_sha256: str
    precision_at_1: float  # on the test split
    validation: Validation
    files: Mapping[str, Path]  # what goes into the version, by name there
    code: Code = NOT_KNOWN  # that trained the model


class Versions:
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
        """Reads the manifest of a version.

        Raises:
            ForeignVersionError: There is none, or it is broken.
        """
        self._expect(version)
        name = f"{version}/{Version.FILE}"
        if Version.FILE not in self.storage.files(version):
            raise ForeignVersionError(f"{self.where}/{name}: not found; not of this registry")
        with self.storage.open(name) as file:
            data = file.read()
        try:
            return parse(self.storage, Version, name, data)
        except StepError as error:
            raise ForeignVersionError(str(error)) from None

    def fetch(self, version: int, cache: Path) -> Path:
        """Returns a local directory with a version's files, downloaded to ``cache`` if far.

        Raises:
            StepError: A file is not the one that was published.
        """
        manifest = self.manifest(version)
        directory = self.storage.fetch(version, cache)
        if problems := self._problems(manifest, version, directory):
            raise StepError(f"{self.where}/{version}: {problems[0]}; roll back or promote another")
        return directory

    def published_by(self, run_id: str, model_sha256: str) -> int | None:
        """Returns the version that a run, or any run with the same model, has published."""
        runs = read(self.storage, Runs) or Runs()
        version = _published(runs, run_id, model_sha256, self.versions())
        return version if version is not None and self._holds(version, model_sha256) else None

    def publish(self, release: Release) -> int:
        """Publishes a version, once a run however often it is called, and returns its number."""
        if not release.run_id.isprintable() or len(release.run_id) > 200:
            raise StepError(f"run id {release.run_id!r}: expected at most 200 printable characters")
        digests = {}
        for name, path in release.files.items():
            with path.open("rb") as file:
                digests[checked_name(name)] = Digest.of(file)
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
            self._give_up({claim.version})
        raise StepError(f"{self.where}: others keep taking the numbers; try again")

    def verify(self, version: int) -> list[str]:
        """Reads a version's files through and returns what is wrong with them, one line each."""
        return self._problems(self.manifest(version), version)

    def _give_up(self, versions: set[int]) -> None:
        """Drops all claims on numbers, which are not given out again."""
        swap(self.storage, Runs, lambda runs: (runs or Runs()).without(versions))

    def _last(self) -> int:
        """Returns the highest number ever given out, or taken by somebody."""
        runs = read(self.storage, Runs) or Runs()
        return max(runs.last, *self.versions(), 0)

    def _expect(self, version: int) -> None:
        versions = self.versions()
        if version not in versions:
            found = ", ".join(map(str, versions)) or "none"
            raise StepError(f"{self.where}: no version {version}, expected one of: {found}")

    def _holds(self, version: int, model_sha256: str) -> bool:
        """Returns whether a version is one of this registry's, of that model, and whole."""
        if Version.FILE not in self.storage.files(version):
            return False
        with self.storage.open(f"{version}/{Version.FILE}") as file:
            try:
                manifest = Version.model_validate_json(file.read())
            except ValidationError:
                return False
        return manifest.model_sha256 == model_sha256 and not self._problems(manifest, version)

    def _problems(self, manifest: Version, version: int, fetched: Path | None = None) -> list[str]:
        """Compares a version's files, or a copy of them that was fetched, with a manifest."""

        def open_file(name: str) -> BinaryIO:
            return (
                (fetched / name).open("rb") if fetched else self.storage.open(f"{version}/{name}")
            )

        there = set(self.storage.files(version)) - {Version.FILE}
        return compare(manifest, version, there, open_file)

    def _write(self, claim: Claim, release: Release, digests: dict[str, Digest]) -> None:
        """Publishes a release under the number that was claimed for it."""
        manifest = Version(
            version=claim.version,
            run_id=release.run_id,
            created=claim.created,
            model_sha256=release.model_sha256,
            precision_at_1=release.precision_at_1,
            validation=claim.validation,
            files=digests,
            code=release.code,
        )
        parts = {name: Part(path, digests[name]) for name, path in release.files.items()}
        with TemporaryDirectory() as scratch:
            manifest.write(Path(scratch))
            path = Path(scratch) / Version.FILE
            with path.open("rb") as file:
                parts[Version.FILE] = Part(path, Digest.of(file))
            self.storage.publish(claim.version, parts)

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
            free = max(runs.last, *self.storage.numbers(), 0) + 1
            if not published and free > MAX_VERSION:
                raise StepError(f"{self.where}/{free - 1}: no number is left above it; remove it")
            claim = Claim(
                version=published or free,
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


def compare(
    manifest: Version, version: int, there: Collection[str], open_file: Callable[[str], BinaryIO]
) -> list[str]:
    """Reads a version's files through and returns what is wrong with them, one line each.

    Args:
        manifest: What they have to be.
        version: The version whose they are.
        there: The names of those that are there.
        open_file: Opens one by its name.
    """
    problems = [f"{name}: not in the manifest" for name in sorted(set(there) - set(manifest.files))]
    if manifest.version != version:
        problems.append(f"{Version.FILE}: of version {manifest.version}")
    for name, expected in manifest.files.items():
        if name not in there:
            problems.append(f"{name}: missing")
            continue
        with open_file(checked_name(name)) as file:
            found = Digest.of(file)
        if found != expected:
            problems.append(
                f"{name}: sha256 {found.sha256}, {found.size:,} bytes, expected "
                f"{expected.sha256}, {expected.size:,} bytes"
            )
    return problems
