"""Output that appears whole or not at all."""

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.shared.errors import StepError


@contextmanager
def whole_directory(output: Path, marker: str) -> Iterator[Path]:
    """Yields a directory to fill that becomes ``output`` in one rename once the block is through.

    Args:
        output: The directory to appear. One that is there already is replaced, but only if it is
            empty or holds ``marker``.
        marker: Name of the file that makes a directory one of ours: its manifest.

    Raises:
        StepError: ``output`` holds something else, which is left alone.
    """
    _refuse_foreign(output, marker)
    output.parent.mkdir(parents=True, exist_ok=True)
    # A run that was killed leaves its partial directory behind; this one takes its place.
    for leftover in output.parent.glob(f".{output.name}.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.partial-", dir=output.parent))
    try:
        partial.chmod(0o755)
        yield partial
        fsync_tree(partial)
        if output.exists():
            output.rename(partial.with_suffix(".replaced"))
        partial.rename(output)
        fsync(output.parent)
    finally:
        shutil.rmtree(partial.with_suffix(".replaced"), ignore_errors=True)
        shutil.rmtree(partial, ignore_errors=True)


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


def _refuse_foreign(output: Path, marker: str) -> None:
    if not output.exists():
        return
    if not output.is_dir():
        raise StepError(f"{output}: is a file, expected a directory to write to")
    if any(output.iterdir()) and not (output / marker).exists():
        raise StepError(
            f"{output}: holds files but no {marker}, so it is not replaced; name another directory"
        )


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


def sha256_of_directory(directory: Path) -> str:
    """Returns the sha256 over the names and contents of a directory's files.

    Raises:
        StepError: As :func:`files_of`.
    """
    digest = hashlib.sha256()
    for name, path in files_of(directory).items():
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{content}  {name}\n".encode())
    return digest.hexdigest()
