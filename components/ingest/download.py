"""Files from ``https://`` and ``gs://`` in a cache on disk: fetched once, resumed, checked."""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import requests
import tenacity
import urllib3
from pyarrow import fs

from components.ingest.filesystem import open_filesystem
from components.shared.addresses import shown
from components.shared.errors import StepError
from components.shared.storage import write_text

Result = TypeVar("Result")

ATTEMPTS = 5  # in a row that bring no byte
CHUNK = 1 << 18  # bytes
CONNECT_TIMEOUT, READ_TIMEOUT = 10, 60  # seconds
# Asked for as it is stored: a server that packs what it sends cannot go on from a byte.
AS_STORED = {"Accept-Encoding": "identity"}


class InterruptedDownloadError(Exception):
    """The connection broke, or the server has trouble of its own: worth another attempt."""


class MissingError(Exception):
    """There is no such file."""


@dataclass(frozen=True)
class Version:
    """Which version of a file the server has."""

    tag: str  # changes with the content: an ETag, or the time of the last change
    size: int | None  # bytes


class Body(NamedTuple):
    """What a server sends of a file."""

    start: int  # bytes before it
    chunks: Iterator[bytes]


class Remote(Protocol):
    """A file on a server."""

    def version(self) -> Version:
        """Asks for the version.

        Raises:
            MissingError: There is no such file.
            InterruptedDownloadError: The server cannot be asked now.
        """

    def open(self, offset: int, version: Version) -> AbstractContextManager["Body"]:
        """Opens the bytes from an offset on, or from the start where the server does only that.

        Raises:
            InterruptedDownloadError: The connection broke, here or within the block.
        """


def is_remote(address: str) -> bool:
    """Whether an address is one to download from."""
    return address.startswith(("https://", "http://", "gs://"))


class Download:
    """Fetches files into a cache.

    A file is looked up at every call, and fetched again only if the server has another version.
    What a broken connection left is gone on from, also by a later run.

    Args:
        cache: The directory; an empty name is the user's cache directory.
        wait: Seconds before the second attempt; each further one waits twice as long.
    """

    def __init__(self, cache: str, wait: float = 0.5) -> None:
        self.directory = Path(cache) if cache else Path.home() / ".cache" / "mnist-pipeline"
        self.wait = wait

    def __call__(self, address: str) -> Path | None:
        """Fetches a file.

        Returns:
            Where it lies on disk; None where the server has no such file.

        Raises:
            StepError: The server cannot be reached, refuses, or breaks off again and again.
        """
        remote: Remote = _Bucket(address) if address.startswith("gs://") else _Web(address)
        try:
            version = self._retried(remote.version)
            return self._fetch(address, remote, version)
        except MissingError:
            return None
        except InterruptedDownloadError as error:
            raise StepError(
                f"{shown(address)}: {error}; gave up after {ATTEMPTS} attempts in a row without "
                "progress, what has come is kept: run again to go on from there"
            ) from None

    def _fetch(self, address: str, remote: Remote, version: Version) -> Path:
        place = self.directory / hashlib.sha256(address.encode()).hexdigest()[:16]
        place.mkdir(parents=True, exist_ok=True)
        path = place / shown(address).removesuffix("?…").rsplit("/", 1)[-1]
        partial, known = place / ".partial", place / "version.json"
        with (place / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed: runs may share a cache
            said = known.read_text(encoding="utf-8") if known.exists() else ""
            # A server that names no version may have another one every time.
            if not version.tag or said != json.dumps(asdict(version)):
                path.unlink(missing_ok=True)
                partial.unlink(missing_ok=True)
                write_text(known, json.dumps(asdict(version)))
            while not path.exists():
                if self._retried(lambda: _continue(remote, partial, version)):
                    partial.replace(path)
        return path

    def _retried(self, action: Callable[[], Result]) -> Result:
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_exponential(self.wait),
            retry=tenacity.retry_if_exception_type(InterruptedDownloadError),
            reraise=True,
        )
        return retrying(action)


def _continue(remote: Remote, partial: Path, version: Version) -> bool:
    """Appends what is missing, and returns whether all is there.

    Raises:
        InterruptedDownloadError: The connection broke before it brought anything new.
    """
    with partial.open("ab") as out:
        before = out.tell()
        if before == version.size:
            return True
        try:
            with remote.open(before, version) as (start, chunks):
                out.truncate(start)
                for chunk in chunks:
                    out.write(chunk)
        except InterruptedDownloadError:
            if out.tell() <= before:
                raise
            return False
        if version.size not in (None, out.tell()):
            found = out.tell()
            out.truncate(0)
            raise InterruptedDownloadError(f"{found} bytes, expected {version.size}")
        return True


class _Web:
    """A file behind ``https://``."""

    def __init__(self, address: str) -> None:
        self.address = address

    def version(self) -> Version:
        with _told_apart():
            response = requests.head(
                self.address,
                headers=AS_STORED,
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                allow_redirects=True,
            )
        _check(self.address, response)
        size = response.headers.get("Content-Length")
        return Version(_tag(response), int(size) if size else None)

    @contextmanager
    def open(self, offset: int, version: Version) -> Iterator[Body]:
        headers = {**AS_STORED, "Range": f"bytes={offset}-"} if offset else AS_STORED
        with (
            _told_apart(),
            requests.get(
                self.address,
                headers=headers,
                stream=True,
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            ) as response,
        ):
            _check(self.address, response)
            if _tag(response) != version.tag:
                raise InterruptedDownloadError("the file changed while it was fetched")
            partial = response.status_code == requests.codes.partial_content
            # Unlike iter_content, this keeps the bytes that came right before a connection broke.
            chunks = iter(lambda: response.raw.read1(CHUNK), b"")
            yield Body(offset if partial else 0, chunks)


class _Bucket:
    """A file on ``gs://``; pyarrow's client has bounded retries of its own."""

    def __init__(self, address: str) -> None:
        self.filesystem, self.path = open_filesystem(address)

    def version(self) -> Version:
        with _told_apart():
            info = self.filesystem.get_file_info(self.path)
        if info.type != fs.FileType.File:
            raise MissingError
        return Version(str(info.mtime_ns), info.size)

    @contextmanager
    def open(self, offset: int, version: Version) -> Iterator[Body]:
        with _told_apart(), self.filesystem.open_input_file(self.path) as file:
            file.seek(offset)
            yield Body(offset, iter(lambda: file.read(CHUNK), b""))


def _tag(response: requests.Response) -> str:
    return response.headers.get("ETag") or response.headers.get("Last-Modified", "")


@contextmanager
def _told_apart() -> Iterator[None]:
    """Turns what another attempt may mend into InterruptedDownloadError."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise InterruptedDownloadError(_first_line(error)) from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _check(address: str, response: requests.Response) -> None:
    if response.status_code in (requests.codes.not_found, requests.codes.gone):
        raise MissingError
    if response.status_code >= requests.codes.server_error or response.status_code in (408, 429):
        raise InterruptedDownloadError(
            f"the server answers {response.status_code} {response.reason}"
        )
    if not response.ok:
        raise StepError(
            f"{shown(address)}: the server answers {response.status_code} {response.reason}; "
            "expected a file that may be read"
        )
