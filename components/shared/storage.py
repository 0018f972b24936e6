"""Output that appears whole or not at all."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.shared.errors import StepError


@contextmanager
def atomic_directory(output: Path, marker: str) -> Iterator[Path]:
    """Yields a directory to fill that becomes ``output`` in one rename once the block is through.

    What is wrong with ``output`` is told before the block, and no second run gets it meanwhile.
    What runs that were killed have left beside it is removed; or, where one was killed while it
    replaced a finished ``output``, put back.

    Args:
        output: The directory to appear; where it is a link, what that points to. One that is there
            already is replaced, but only if it is empty or holds ``marker``.
        marker: Name of the file that makes a directory one of ours: its manifest.

    Raises:
        StepError: ``output`` cannot be replaced, or another run writes to it; it is left alone.
        OSError: It cannot be written.
    """
    output = Path(os.path.realpath(output))
    _refuse_irreplaceable(output)
    make_directory(output.parent)
    # Of all names beside it the longest: whether the others can be made is known before the work.
    with locked(output.with_name(f".{output.name}.partial.lock"), output):
        _clear_leftovers(output)
        _refuse_foreign(output, marker)
        partial = output.with_name(f".{output.name}.partial")
        try:
            partial.mkdir()
            yield partial
            fsync_tree(partial)
            if output.exists():
                output.rename(output.with_name(f".{output.name}.replaced"))
            partial.rename(output)
            fsync(output.parent)
        except OSError as error:
            raise _named(error, output) from None
        finally:
            _clear_leftovers(output)


@contextmanager
def locked(lock: Path, place: Path) -> Iterator[None]:
    """Holds a lock for the block; a process that is killed loses it.

    Args:
        lock: The lock's file; it is there as long as the lock is held.
        place: What is locked, for messages.

    Raises:
        StepError: Another run holds it.
        OSError: It cannot be made; names the place.
    """
    descriptor = _lock(lock, place)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def _named(error: OSError, place: Path) -> OSError:
    """Returns an error that names a file: of one that was open already, the system names none."""
    if not error.errno or error.filename or "/" in str(error):
        return error
    return OSError(error.errno, os.strerror(error.errno), str(place))


def _lock(lock: Path, place: Path) -> int:
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(place)) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StepError(
                f"{place}: another run writes to it; wait for its end, or name another directory"
            ) from None
        except OSError:
            return descriptor  # a file system without locks
        # Who held it before has removed the file by then: another one may lie there.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                return descriptor
        os.close(descriptor)


def _refuse_irreplaceable(output: Path) -> None:
    if output.is_mount():
        raise StepError(f"{output}: a disk is mounted there; name a directory in it")
    here = Path.cwd()
    if output == here or output in here.parents:
        raise StepError(
            f"{output}: is the current directory or one above it, which cannot be replaced; name "
            "another directory"
        )
    if output.exists() and not output.is_dir():
        raise StepError(f"{output}: is a file, expected a directory to write to")


def _refuse_foreign(output: Path, marker: str) -> None:
    if output.exists() and any(output.iterdir()) and not (output / marker).exists():
        raise StepError(
            f"{output}: holds files but no {marker}, so it is not replaced; name another directory"
        )


def _clear_leftovers(output: Path) -> None:
    """Puts back what was about to be replaced and was not, and removes what else is left."""
    pattern = re.compile(rf"\.{re.escape(output.name)}\.(partial|replaced)(-\w+)?")
    for path in sorted(output.parent.iterdir()):
        found = pattern.fullmatch(path.name)
        if not found:
            continue
        if found[1] == "replaced":
            if not output.exists():
                path.rename(output)
                continue
            # A kill in its removal must not leave a part of it under a name that is put back.
            path = path.rename(output.with_name(f".{output.name}.partial-replaced"))
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """Replaces a file's text in one rename, so that a reader sees the old text or the new.

    A link stays one: what it points to is replaced.

    Raises:
        OSError: It cannot be written, and is as it was; names it.
    """
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        fsync(partial)
        partial.replace(target)
        fsync(target.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from None


def make_directory(directory: Path) -> None:
    """Makes a directory, and those above it, and waits until their names are on the disk."""
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for each in missing:
        fsync(each.parent)


def fsync_tree(directory: Path) -> None:
    """Waits until a directory and all that is in it are on the disk."""
    for path in directory.rglob("*"):
        fsync(path)
    fsync(directory)


def fsync(path: Path) -> None:
    """Waits until a file, or a directory's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def files_of(directory: Path) -> dict[str, Path]:
    """Returns a model's files, by their names relative to its directory, in a fixed order.

    Whoever takes a model's digest, copies it or measures it has to mean the same files, so this is
    the one list of them.

    Raises:
        StepError: Something in it is neither a file nor a directory of the model itself: a link,
            say, behind which other content could be put at any time.
        OSError: The directory cannot be read.
    """
    found = []
    for folder, directories, names in os.walk(directory, onerror=_raise):
        for path in (Path(folder, name) for name in [*directories, *names]):
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or not path.name.isprintable():
                kind = "a link" if stat.S_ISLNK(mode) else "nothing that can be copied"
                raise StepError(f"{path}: is {kind}, expected a file of the model itself")
            if stat.S_ISREG(mode):
                found.append(path)
    return {path.relative_to(directory).as_posix(): path for path in sorted(found)}


def _raise(error: OSError) -> None:
    raise error


def sha256_of_saved_model(directory: Path) -> str:
    """Returns the sha256 that identifies a model: two with equal weights and graphs have one.

    TensorFlow writes a random number into ``fingerprint.pb``, so that file does not count.

    Raises:
        StepError: As :func:`files_of`.
    """
    return sha256_of_directory(directory, without="fingerprint.pb")


def sha256_of_directory(directory: Path, without: str = "") -> str:
    """Returns the sha256 over the names and contents of a directory's files, but for one.

    Raises:
        StepError: As :func:`files_of`.
    """
    digest = hashlib.sha256()
    for name, path in files_of(directory).items():
        if name == without:
            continue
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{content}  {name}\n".encode())
    return digest.hexdigest()
