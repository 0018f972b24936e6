"""Files by address, on disk or on ``gs://``, through pyarrow's file systems."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from pyarrow import NativeFile, fs

GIVE_UP_AFTER = timedelta(minutes=2)


def open_filesystem(
    address: str, give_up_after: timedelta = GIVE_UP_AFTER
) -> tuple[fs.FileSystem, str]:
    """Returns the file system of an address and the path in it.

    ``STORAGE_EMULATOR_HOST``, which Google's own clients follow too, names another server than
    Google's for ``gs://``.

    Args:
        address: A path, or ``gs://bucket/path``.
        give_up_after: Of requests to a bucket that fail, and are worth another.
    """
    if not address.startswith("gs://"):
        return fs.LocalFileSystem(), str(Path(address).absolute())
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if emulator:
        server = urlsplit(emulator if "//" in emulator else f"http://{emulator}")
        bucket = fs.GcsFileSystem(
            anonymous=True,
            endpoint_override=server.netloc,
            scheme=server.scheme,
            retry_time_limit=give_up_after,
        )
    else:
        bucket = fs.GcsFileSystem(retry_time_limit=give_up_after)
    return bucket, address.removeprefix("gs://").rstrip("/")


def open_directory(address: str) -> fs.FileSystem:
    """Returns a file system whose root is a directory; it can be sent to workers."""
    filesystem, path = open_filesystem(address)
    return fs.SubTreeFileSystem(path, filesystem)


def is_bucket(filesystem: fs.FileSystem) -> bool:
    """Whether files lie on ``gs://``, where there are no directories to make."""
    while isinstance(filesystem, fs.SubTreeFileSystem):
        filesystem = filesystem.base_fs
    return isinstance(filesystem, fs.GcsFileSystem)


def read(filesystem: fs.FileSystem, path: str) -> bytes:
    """Reads a whole file.

    Raises:
        FileNotFoundError: There is none.
    """
    with filesystem.open_input_file(path) as file:
        return file.read()


def write(filesystem: fs.FileSystem, path: str, data: bytes) -> None:
    """Writes a whole file, with the directories above it; on ``gs://`` it appears at once."""
    if not is_bucket(filesystem):
        filesystem.create_dir(str(PurePosixPath(path).parent), recursive=True)
    with writing(filesystem, path) as file:
        file.write(data)


@contextmanager
def writing(filesystem: fs.FileSystem, path: str) -> Iterator[NativeFile]:
    """Opens a file to write.

    Raises:
        OSError: It cannot be written; names the file, as pyarrow does not where the disk is full.
    """
    try:
        with filesystem.open_output_stream(path) as file:
            yield file
    except OSError as error:
        if not error.errno or error.filename or path in str(error):
            raise
        while isinstance(filesystem, fs.SubTreeFileSystem):
            filesystem, path = filesystem.base_fs, f"{filesystem.base_path}{path}"
        raise OSError(error.errno, os.strerror(error.errno), path) from None
