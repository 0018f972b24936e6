"""A model's versions in a local directory: staged, fsynced, and made visible by one rename."""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from components.registry.storage import (
    MARKS,
    SERVABLE,
    STAGING,
    Conflict,
    Digest,
    NotStoredError,
    Part,
    StoredFile,
    version_number,
)
from components.shared.errors import StepError
from components.shared.storage import fsync, fsync_tree, make_directory

LOCK = ".lock"


class LocalStorage:
    """The files of one model in a directory.

    Whoever may write to the directory may push, prune and promote, each with an umask of their own:
    no file is made narrower than the umask makes it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.location = str(root)

    def versions(self) -> list[int]:
        """Returns the numbers of the versions that can be served, ascending."""
        with self._errors_as_step_error():
            return [number for number in _numbers(self.root) if self._servable(number)]

    def taken_numbers(self) -> list[int]:
        """Returns every number that something lies under or was removed from, ascending."""
        with self._errors_as_step_error():
            return sorted({*_numbers(self.root), *_numbers(self.root / MARKS)})

    def contains(self, version: int) -> bool:
        """Returns whether a version is there, without a look at the others."""
        with self._errors_as_step_error():
            return self._servable(version)

    def files(self, version: int) -> list[str]:
        """Returns the names of a version's files, sorted; links are not followed."""
        directory = self.root / str(version)
        with self._errors_as_step_error():
            found = (path for path in directory.rglob("*") if path.is_symlink() or path.is_file())
            return sorted(path.relative_to(directory).as_posix() for path in found)

    def open(self, name: str) -> BinaryIO:
        """Opens a file, relative to the model, for reading."""
        with self._errors_as_step_error():
            try:
                return (self.root / name).open("rb")
            except (FileNotFoundError, IsADirectoryError):
                raise NotStoredError(f"{self.root / name}: not found") from None

    def read(self, name: str) -> StoredFile:
        """Reads a small file; its generation is the digest of its content."""
        with self._errors_as_step_error():
            try:
                data = (self.root / name).read_bytes()
            except FileNotFoundError:
                return StoredFile(None, "")
            return StoredFile(data, hashlib.sha256(data).hexdigest())

    def replace(self, name: str, data: bytes, generation: str) -> None:
        """Replaces a small file in one rename, under a lock that dies with the process."""
        with self._errors_as_step_error(), self._locked():
            if self.read(name).generation != generation:
                raise Conflict(name)
            partial = self._staged(name)
            try:
                partial.write_bytes(data)
                fsync(partial)
                partial.replace(self.root / name)
                fsync(self.root)
            finally:
                partial.unlink(missing_ok=True)

    def publish(self, version: int, parts: Mapping[str, Part]) -> None:
        """Copies the files aside, checks and fsyncs the copies, and renames the directory."""
        with self._errors_as_step_error():
            make_directory(self.root / MARKS)  # now, since a removal may have no room for it
            partial = self._staged(str(version))
            try:
                for name, part in parts.items():
                    _copy(part, partial / name)
                fsync_tree(partial)
                with self._locked():
                    if self._removed(version).exists():
                        raise Conflict(str(version))
                    partial.rename(self.root / str(version))
                    fsync(self.root)
            except OSError as error:
                taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
                if taken and os.path.lexists(self.root / str(version)):
                    raise Conflict(str(version)) from None
                raise
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    def hold(self, version: int) -> bool:
        """Returns whether a version is there: a removal looks for the champion under the lock."""
        with self._errors_as_step_error(), self._locked():
            return self._servable(version)

    def remove(self, version: int, unneeded: Callable[[], bool]) -> bool:
        """Removes a version, in one rename from the sight of readers; returns whether it did."""
        removed = None
        with self._errors_as_step_error():
            with self._locked():
                if unneeded() and (self.root / str(version)).is_dir():
                    self._never_use_again(version)
                    removed = self._staged(f"{version}-removed")
                    (self.root / str(version)).rename(removed)
                    fsync(self.root)
            if removed:
                _delete(removed)
        return removed is not None

    def leftovers(self) -> dict[str, float]:
        """Returns what killed pushes left in the staging directory."""
        with self._errors_as_step_error():
            staging = self.root / STAGING
            found = sorted(staging.iterdir()) if staging.is_dir() else []
            writes = {f"{STAGING}/{path.name}": _last_write(path) for path in found}
            return {name: written for name, written in writes.items() if written is not None}

    def remove_leftover(self, leftover: str, before: float) -> bool:
        """Removes one of those, unless it was written to since or went live; says whether it did.

        It is put aside under the lock, under which a push makes its version visible: of the two at
        once one finds nothing to rename.
        """
        with self._errors_as_step_error():
            with self._locked():
                written = _last_write(self.root / leftover)
                if written is None or written > before:
                    return False
                aside = self._staged("removed")
                (self.root / leftover).rename(aside)
            _delete(aside)
            return True

    def fetch(self, version: int, cache: Path) -> Path:
        """Returns the directory of a version."""
        return self.root / str(version)

    def _servable(self, version: int) -> bool:
        return (self.root / str(version) / SERVABLE).is_file()

    def _removed(self, version: int) -> Path:
        return self.root / MARKS / str(version)

    def _never_use_again(self, version: int) -> None:
        """Keeps a push that claimed a number before from bringing back what is removed.

        The mark need not be on the disk: no push that looked before a power cut goes on after it.
        """
        mark = self._removed(version)
        if not mark.exists():  # else of a removal that was killed, maybe somebody else's
            mark.parent.mkdir(exist_ok=True)
            mark.touch()

    def _staged(self, name: str) -> Path:
        """Returns a path for something of this process alone, where nobody looks for versions."""
        staging = self.root / STAGING
        staging.mkdir(parents=True, exist_ok=True)
        return staging / f"{name}-{uuid4().hex}"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_directory(self.root)
        try:
            descriptor = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:  # made by somebody else with a narrower umask: reading will do
            descriptor = os.open(self.root / LOCK, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _errors_as_step_error(self) -> Iterator[None]:
        """Turns what the file system says into a line for people."""
        try:
            yield
        except OSError as error:
            place = error.filename or self.location
            advice = {
                errno.ENOSPC: "make room, or name another --destination",
                errno.EDQUOT: "make room, or name another --destination",
                errno.EACCES: "expected to read and write there; change who may",
                errno.EPERM: "expected to read and write there; change who may",
                errno.EROFS: "expected to write there; name another --destination",
            }.get(error.errno or 0, "mend that and try again")
            raise StepError(f"{place}: {error.strerror or error}; {advice}") from error


def _numbers(directory: Path) -> list[int]:
    if not directory.is_dir():
        return []
    numbers = (version_number(path.name) for path in directory.iterdir())
    return sorted(number for number in numbers if number is not None)


def _copy(part: Part, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(part.source, target)
    with target.open("rb") as file:
        if Digest.of(file) != part.digest:
            raise StepError(f"{part.source}: changed while it was published; push it again")


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _last_write(path: Path) -> float | None:
    """Returns when a file, or anything in a directory, was written last; None if it is gone."""
    try:
        inside = path.rglob("*") if path.is_dir() else ()
        return max(entry.lstat().st_mtime for entry in (path, *inside))
    except FileNotFoundError:  # just now: by the push that it belongs to
        return None
