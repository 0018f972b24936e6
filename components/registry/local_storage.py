"""A model's versions in a local directory: staged, fsynced, and made visible by one rename."""

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from components.registry.storage import SERVABLE, STAGING, Conflict, Digest, Part, Stored
from components.shared.errors import StepError
from components.shared.storage import fsync, fsync_tree

LOCK = ".lock"


class LocalStorage:
    """The files of one model in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.where = str(root)

    def versions(self) -> list[int]:
        """Returns the numbers of the whole versions, ascending."""
        with self._explained():
            if not self.root.is_dir():
                return []
            numbers = (path.name for path in self.root.iterdir() if path.name.isdecimal())
            return sorted(int(name) for name in numbers if (self.root / name / SERVABLE).is_file())

    def files(self, version: int) -> list[str]:
        """Returns the names of a version's files, relative to it, sorted."""
        directory = self.root / str(version)
        with self._explained():
            found = (path for path in directory.rglob("*") if not path.is_dir())
            return sorted(path.relative_to(directory).as_posix() for path in found)

    def open(self, name: str) -> BinaryIO:
        """Opens a file, relative to the model, for reading."""
        with self._explained():
            return (self.root / name).open("rb")

    def read(self, name: str) -> Stored:
        """Reads a small file; its generation is the digest of its content."""
        with self._explained():
            try:
                data = (self.root / name).read_bytes()
            except FileNotFoundError:
                return Stored(None, "")
            return Stored(data, hashlib.sha256(data).hexdigest())

    def replace(self, name: str, data: bytes, generation: str) -> None:
        """Replaces a small file in one rename, under a lock that dies with the process."""
        with self._explained(), self._locked():
            if self.read(name).generation != generation:
                raise Conflict(name)
            partial = self._staging() / name
            partial.write_bytes(data)
            fsync(partial)
            partial.replace(self.root / name)
            fsync(self.root)

    def publish(self, version: int, parts: Mapping[str, Part]) -> None:
        """Copies the files aside, checks and fsyncs the copies, and renames the directory."""
        with self._explained():
            partial = Path(tempfile.mkdtemp(prefix=f"{version}-", dir=self._staging()))
            try:
                partial.chmod(0o755)
                for name, part in parts.items():
                    _copy(part, partial / name)
                fsync_tree(partial)
                partial.rename(self.root / str(version))
                fsync(self.root)
            except OSError as error:
                # A directory that is not empty: another attempt of the same run was quicker.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    def retire(self, version: int) -> None:
        """Removes a version, in one rename from the sight of readers."""
        with self._explained():
            removed = Path(tempfile.mkdtemp(prefix=f"{version}-removed-", dir=self._staging()))
            (self.root / str(version)).rename(removed / str(version))
            shutil.rmtree(removed)

    def leftovers(self) -> dict[str, float]:
        """Returns what killed pushes left in the staging directory."""
        with self._explained():
            staging = self.root / STAGING
            found = sorted(staging.iterdir()) if staging.is_dir() else []
            return {f"{STAGING}/{path.name}": _last_write(path) for path in found}

    def delete(self, leftover: str) -> None:
        """Removes one of those."""
        path = self.root / leftover
        with self._explained():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def fetch(self, version: int, cache: Path) -> Path:
        """Returns the directory of a version."""
        return self.root / str(version)

    def _staging(self) -> Path:
        staging = self.root / STAGING
        staging.mkdir(parents=True, exist_ok=True)
        return staging

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what the file system says into a line for people."""
        try:
            yield
        except OSError as error:
            place = error.filename or self.where
            advice = {
                errno.ENOSPC: "make room, or name another --destination",
                errno.EDQUOT: "make room, or name another --destination",
                errno.EACCES: "expected to read and write there; change who may",
                errno.EPERM: "expected to read and write there; change who may",
                errno.EROFS: "expected to write there; name another --destination",
            }.get(error.errno or 0, "the registry is as it was")
            raise StepError(f"{place}: {error.strerror or error}; {advice}") from error


def _copy(part: Part, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(part.source, target)
    with target.open("rb") as file:
        if Digest.of(file) != part.digest:
            raise StepError(f"{part.source}: changed while it was published; push it again")


def _last_write(path: Path) -> float:
    inside = path.rglob("*") if path.is_dir() else ()
    return max(entry.lstat().st_mtime for entry in (path, *inside))
