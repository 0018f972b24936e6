"""Where a job writes to, so that its output appears whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyarrow import fs

from components.shared.addresses import BUCKETS
from components.shared.errors import StepError
from components.shared.storage import atomic_directory
from components.sources.buckets import is_bucket
from components.sources.filesystem import open_directory, write

WORK = ".work"  # what workers leave for one another, gone when the output is done
UNFINISHED = ".unfinished"  # in a bucket: what lies here is ours, and not whole


@contextmanager
def atomic_output(output: str, manifest: str) -> Iterator[fs.FileSystem]:
    """Yields a directory to fill, whose manifest is written last.

    On disk the directory gets its name once the block is through. A bucket cannot rename: there,
    an earlier manifest goes first and the new one comes last, and what has none is not whole.

    Args:
        output: The directory to appear, also in a bucket.
        manifest: The name of its manifest.

    Raises:
        StepError: ``output`` holds something else, which is left alone.
    """
    if not output.startswith(BUCKETS):
        with atomic_directory(Path(output), manifest) as partial:
            directory = open_directory(str(partial))
            yield directory
            _remove_work(directory)
        return
    directory = open_directory(output)
    _clear(directory, output, manifest)
    write(directory, UNFINISHED, b"")
    yield directory
    _remove_work(directory)
    directory.delete_file(UNFINISHED)


def make_directory(filesystem: fs.FileSystem, path: str) -> fs.FileSystem:
    """Makes a directory and returns it as a file system."""
    if not is_bucket(filesystem):
        filesystem.create_dir(path, recursive=True)
    return fs.SubTreeFileSystem(path, filesystem)


def _remove_work(directory: fs.FileSystem) -> None:
    for info in _files(directory, WORK):
        directory.delete_file(info.path)
    if not is_bucket(directory):
        directory.delete_dir(WORK)


def _clear(directory: fs.FileSystem, output: str, manifest: str) -> None:
    found = [info.path for info in _files(directory, "")]
    if found and not {manifest, UNFINISHED} & set(found):
        raise StepError(
            f"{output}: holds files but no {manifest}, so it is not replaced; "
            "name another directory"
        )
    if manifest in found:
        write(directory, UNFINISHED, b"")
        directory.delete_file(manifest)
        found.remove(manifest)
    for path in found:
        directory.delete_file(path)


def _files(directory: fs.FileSystem, path: str) -> list[fs.FileInfo]:
    selector = fs.FileSelector(path, recursive=True, allow_not_found=True)
    return [info for info in directory.get_file_info(selector) if info.is_file]
