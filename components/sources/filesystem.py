"""Files on disk or in a bucket, through pyarrow's file systems; and the ones a pattern names."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path, PurePosixPath

from pyarrow import NativeFile, fs

from components.shared.addresses import BUCKETS
from components.shared.days import DATE
from components.shared.errors import StepError
from components.sources.buckets import GIVE_UP_AFTER, is_bucket, open_bucket

_TOKENS = {
    "**/": "(?:.*/)?",
    "*": "[^/]*",
    "?": "[^/]",
    DATE: r"(?P<date>\d{4}-\d{2}-\d{2})",
}
_LEFT_BEHIND = {
    "_SUCCESS",
    "_temporary",
    "_metadata",
    "_common_metadata",
    "_delta_log",
    "__MACOSX",
    "Thumbs.db",
    "desktop.ini",
}
Matches = Callable[[str], re.Match[str] | None]
_TOKEN = re.compile("|".join(map(re.escape, _TOKENS)))


def open_filesystem(
    address: str, give_up_after: timedelta = GIVE_UP_AFTER
) -> tuple[fs.FileSystem, str]:
    """Returns the file system of an address and the path in it.

    Args:
        address: A path, or ``gs://bucket/path`` or ``s3://bucket/path``.
        give_up_after: Of requests to a bucket that fail, and are worth another.
    """
    if not address.startswith(BUCKETS):
        return fs.LocalFileSystem(), str(Path(address).absolute())
    return open_bucket(address, give_up_after), address.partition("://")[2].rstrip("/")


def open_directory(address: str) -> fs.FileSystem:
    """Returns a file system whose root is a directory; it can be sent to workers."""
    filesystem, path = open_filesystem(address)
    return fs.SubTreeFileSystem(path, filesystem)


def read(filesystem: fs.FileSystem, path: str) -> bytes:
    """Reads a whole file.

    Raises:
        FileNotFoundError: There is none.
    """
    with filesystem.open_input_file(path) as file:
        return file.read()


def write(filesystem: fs.FileSystem, path: str, data: bytes) -> None:
    """Writes a whole file, with the directories above it; in a bucket it appears at once."""
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
        with filesystem.open_output_stream(path, compression=None) as file:
            yield file
    except OSError as error:
        if not error.errno or error.filename or path in str(error):
            raise
        while isinstance(filesystem, fs.SubTreeFileSystem):
            filesystem, path = filesystem.base_fs, f"{filesystem.base_path}{path}"
        raise OSError(error.errno, os.strerror(error.errno), path) from None


def is_pattern(address: str) -> bool:
    """Whether an address names files by a pattern."""
    return _TOKEN.search(address) is not None


def root_of(address: str) -> str:
    """The directory above all that a pattern names; of any other address, itself."""
    token = _TOKEN.search(address)
    return address[: token.start()].rpartition("/")[0] if token else address


def select(
    filesystem: fs.FileSystem, path: str, days: tuple[date, date] | None
) -> tuple[str, list[fs.FileInfo]]:
    """Lists the files that a pattern names, or that lie in the directories it names.

    Hidden files, and what Spark, macOS and Windows leave beside data, are left out.

    Args:
        filesystem: Where to look.
        path: With ``*``, ``?``, ``**/`` and ``{date}``; all dates in a path are the same day.
        days: The first and the last day to take, for a path with ``{date}``.

    Returns:
        The directory above all of them, and the files in the order of their paths.

    Raises:
        StepError: A file's name is not UTF-8, or a file is a link to nothing.
    """
    root = root_of(path)
    selector = fs.FileSelector(root or "/", recursive=True, allow_not_found=True)
    try:
        files = [
            info
            for info in filesystem.get_file_info(selector)
            if info.is_file and not is_hidden(info.path[len(root) :])
        ]
    except UnicodeDecodeError as error:
        name = bytes(error.object).decode("utf-8", "backslashreplace")
        raise StepError(f"{name}: a name that is not UTF-8; rename it") from None
    files.sort(key=lambda info: info.path)
    broken = list(_broken_links(root or "/")) if isinstance(filesystem, fs.LocalFileSystem) else []
    for pattern in (path, f"{path.rstrip('/')}/**/*"):
        matches = re.compile(_regex(pattern)).fullmatch

        def named(name: str, matches: Matches = matches) -> bool:
            match = matches(name)
            return match is not None and (days is None or _within(match["date"], days))

        found = [info for info in files if named(info.path)]
        if found or any(map(named, broken)):
            _refuse_links(list(filter(named, broken)))
            return root, found
    return root, []


def _broken_links(directory: str) -> Iterator[str]:
    """The links to nothing below a directory, which pyarrow does not list."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if is_hidden(entry.name):
                    continue
                if entry.is_symlink() and not Path(entry.path).exists():
                    yield entry.path
                elif entry.is_dir(follow_symlinks=False):
                    yield from _broken_links(entry.path)
    except OSError:  # pyarrow says why
        return


def _refuse_links(broken: Sequence[str]) -> None:
    if broken:
        raise StepError(
            f"{broken[0]}: a link to nothing, one of {len(broken):,} here; fetch what it names "
            "(git annex get, dvc pull), or name other files by a pattern"
        )


def is_hidden(relpath: str) -> bool:
    """Whether a path, from where the user looks, is hidden or of what systems leave behind."""
    parts = [part for part in relpath.split("/") if part not in (".", "..")]
    return any(part.startswith(".") or part in _LEFT_BEHIND for part in parts)


def _regex(path: str) -> str:
    """The regular expression of a pattern; a second ``{date}`` must be the same day."""
    parts, end = [], 0
    for token in _TOKEN.finditer(path):
        parts += [re.escape(path[end : token.start()]), _TOKENS[token[0]]]
        end = token.end()
    text = "".join([*parts, re.escape(path[end:])])
    head, group, tail = text.partition(_TOKENS[DATE])
    return head + group + tail.replace(_TOKENS[DATE], "(?P=date)")


def _within(found: str, days: tuple[date, date]) -> bool:
    try:
        return days[0] <= date.fromisoformat(found) <= days[1]
    except ValueError:  # looks like a day and is not one: 2026-02-30
        return False
