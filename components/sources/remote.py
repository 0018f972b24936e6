"""Files on servers, ``https://`` and ``gs://``: which version there is, and its bytes."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import requests
import urllib3
from pyarrow import fs

from components.shared.addresses import redacted
from components.shared.errors import StepError, log_line
from components.sources.connections import READ_TIMEOUT, ask
from components.sources.filesystem import open_filesystem

CHUNK = 1 << 18  # bytes
SLOWEST = 1_024  # bytes a second, on average over so many seconds:
WINDOW = 60.0
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

    address: str

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


def open_remote(address: str, patience: float = READ_TIMEOUT) -> Remote:
    """Returns the file of an address; a web server may be silent for ``patience`` seconds."""
    return _Bucket(address) if address.startswith("gs://") else _Web(address, patience)


class _Web:
    """A file behind ``https://``."""

    def __init__(self, address: str, patience: float) -> None:
        self.address = address
        self.patience = patience

    def version(self) -> Version:
        with self._ask("HEAD") as response:
            answer = response
        # Some servers, and addresses signed for reading, take nothing but GET.
        if answer.status_code in (400, 401, 403, 405, 501):
            with self._ask("GET") as response:
                answer = response
        _check(self.address, answer)
        size = answer.headers.get("Content-Length", "")
        known = re.fullmatch("0*[1-9][0-9]{0,17}", size)  # some say 0 where they do not know
        return Version(_tag(answer), int(size) if known else None)

    @contextmanager
    def open(self, offset: int, version: Version) -> Iterator[Body]:
        with self._ask("GET", offset) as response:
            if not offset or _starts_at(response, offset):
                yield self._body(offset, response, version)
                return
        # It does not start in the middle, or not where it was asked to.
        with self._ask("GET") as response:
            yield self._body(0, response, version)

    @contextmanager
    def _ask(self, method: str, offset: int = 0) -> Iterator[requests.Response]:
        with _told_apart():
            span = {"Range": f"bytes={offset}-"} if offset else {}
            response = ask(method, self.address, AS_STORED | span, self.patience)
        with response:
            yield response

    def _body(self, start: int, response: requests.Response, version: Version) -> Body:
        _check(self.address, response)
        if _tag(response) != version.tag:
            raise InterruptedDownloadError("the file changed while it was fetched")
        # Unlike iter_content, this keeps the bytes that came right before a connection broke.
        return Body(start, _chunks(lambda: response.raw.read1(CHUNK)))


class _Bucket:
    """A file on ``gs://``; pyarrow's client has bounded retries of its own."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.filesystem, self.path = open_filesystem(address)

    def version(self) -> Version:
        with _told_apart():
            info = self.filesystem.get_file_info(self.path)
        if info.type != fs.FileType.File:
            raise MissingError
        return Version(str(info.mtime_ns), info.size)

    @contextmanager
    def open(self, offset: int, version: Version) -> Iterator[Body]:
        with _told_apart():
            file = self.filesystem.open_input_file(self.path)
            file.seek(offset)
        with file:
            yield Body(offset, _chunks(lambda: file.read(CHUNK)))


def _chunks(read: Callable[[], bytes]) -> Iterator[bytes]:
    """Reads to the end, unless that is too slow to have one."""
    since, received = time.monotonic(), 0
    while True:
        with _told_apart():
            chunk = read()
        if not chunk:
            return
        yield chunk
        received += len(chunk)
        seconds = time.monotonic() - since
        if seconds >= WINDOW:
            if received < SLOWEST * seconds:
                raise InterruptedDownloadError(f"{received} bytes in {seconds:.0f} seconds")
            since, received = time.monotonic(), 0


def _starts_at(response: requests.Response, offset: int) -> bool:
    span = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    partial = response.status_code == requests.codes.partial_content
    return partial and span is not None and int(span[1]) == offset


def _tag(response: requests.Response) -> str:
    return response.headers.get("ETag", "").removeprefix("W/") or response.headers.get(
        "Last-Modified", ""
    )


@contextmanager
def _told_apart() -> Iterator[None]:
    """Turns what another attempt may mend into InterruptedDownloadError."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise InterruptedDownloadError(_first_line(error)) from None


def _first_line(error: BaseException) -> str:
    """What is at the bottom of an error: requests and urllib3 wrap it in errors of their own."""
    inner = [getattr(one, "reason", None) or one for one in error.args]
    for cause in inner:
        if isinstance(cause, BaseException):
            return _first_line(cause)
    return (str(error).splitlines() or [type(error).__name__])[0]


def _check(address: str, response: requests.Response) -> None:
    if response.status_code in (requests.codes.not_found, requests.codes.gone):
        raise MissingError
    if response.status_code == requests.codes.forbidden:
        log_line(f"{redacted(address)}: the server answers 403, taken as not there")
        raise MissingError
    if response.status_code >= requests.codes.server_error or response.status_code in (408, 429):
        raise InterruptedDownloadError(
            f"the server answers {response.status_code} {response.reason}"
        )
    if not response.ok:
        raise StepError(
            f"{redacted(address)}: the server answers {response.status_code} {response.reason}; "
            "expected a file that may be read"
        )
