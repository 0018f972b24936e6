"""Files from ``https://`` and buckets in a cache on disk: fetched once, resumed, checked."""

import fcntl
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import requests
import tenacity
import urllib3
from pyarrow import fs
from requests.adapters import HTTPAdapter

from components.shared.addresses import BUCKETS, redacted
from components.shared.errors import StepError, log_line
from components.shared.storage import write_text
from components.sources.filesystem import open_filesystem

Result = TypeVar("Result")

ATTEMPTS = 5  # in a row that bring less than
LITTLE = 4_096  # bytes
LARGEST = 1 << 36  # bytes of a file whose size the server does not say
CHUNK = 1 << 18  # bytes
SLOWEST = 1_024  # bytes a second, on average over so many seconds:
WINDOW = 60.0
# Asked for as it is stored: a server that packs what it sends cannot go on from a byte.
AS_STORED = {"Accept-Encoding": "identity"}
CONNECT_TIMEOUT, READ_TIMEOUT = 10, 60  # seconds


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


class Download:
    """Fetches files into a cache.

    A file is looked up at every call, and fetched again only if the server has another version.
    What a broken connection left is gone on from, also by a later run.

    Args:
        cache: The directory; an empty name is the user's cache directory.
        wait: Seconds before the second attempt; each further one waits twice as long.
    """

    def __init__(self, cache: str, wait: float = 0.5) -> None:
        self.cache = cache
        self.wait = wait

    @property
    def directory(self) -> Path:
        """The cache's directory.

        Raises:
            StepError: None is named, and this user has no home directory.
        """
        if self.cache:
            return Path(self.cache)
        try:
            return Path.home() / ".cache" / "mnist-pipeline"
        except RuntimeError:
            raise StepError("no home directory for downloaded files; name --cache") from None

    def __call__(self, address: str) -> Path | None:
        """Fetches a file.

        Returns:
            Where it lies on disk; None where the server has no such file, or says that it is
            forbidden, which some say of whatever is not there.

        Raises:
            StepError: The server cannot be reached, refuses, or breaks off again and again.
            OSError: The cache cannot be written.
        """
        place = self.directory / hashlib.sha256(address.encode()).hexdigest()[:16]
        place.mkdir(parents=True, exist_ok=True)
        remote = open_remote(address)
        try:
            version = self._retried(remote.version)
            return self._fetch(place, _name(address), remote, version)
        except MissingError:
            return None
        except InterruptedDownloadError as error:
            raise StepError(
                f"{redacted(address)}: {error}; gave up after {ATTEMPTS} attempts in a row without "
                "progress, what has come is kept: run again to go on from there"
            ) from None

    def has(self, address: str, patience: timedelta) -> bool:
        """Asks, once, whether a server has a file, and fetches nothing.

        Raises:
            StepError: The server cannot be reached, is silent for longer than ``patience``, or
                refuses.
        """
        try:
            open_remote(address, patience.total_seconds()).version()
        except MissingError:
            return False
        except InterruptedDownloadError as error:
            raise StepError(f"{redacted(address)}: {error}; see that the server is there") from None
        return True

    def _fetch(self, place: Path, name: str, remote: Remote, version: Version) -> Path:
        path = place / "file" / name
        path.parent.mkdir(exist_ok=True)
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


def _name(address: str) -> str:
    name = redacted(address).removesuffix("?…").rpartition("/")[2]
    return name if name.strip(".") else "index"


def _continue(remote: Remote, partial: Path, version: Version) -> bool:
    """Appends what is missing, and returns whether all is there.

    Raises:
        InterruptedDownloadError: The connection broke before it brought more than a little, or
            the file is not as long as the server said.
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
                    if out.tell() > (version.size or LARGEST):
                        break
        except InterruptedDownloadError:
            if out.tell() < before + LITTLE:
                raise
            return False
        if version.size is None and out.tell() > LARGEST:
            out.truncate(0)
            raise StepError(
                f"{redacted(remote.address)}: more than {LARGEST} bytes, and the server does not "
                "say how many; name another address"
            )
        if version.size not in (None, out.tell()):
            found = out.tell()
            out.truncate(0)
            raise InterruptedDownloadError(f"{found} bytes, expected {version.size}")
        return True


def open_remote(address: str, patience: float = READ_TIMEOUT) -> Remote:
    """Returns the file of an address; a web server may be silent for ``patience`` seconds."""
    return _Bucket(address) if address.startswith(BUCKETS) else _Web(address, patience)


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
        with _interrupted():
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
    """A file in a bucket; pyarrow's client has bounded retries of its own."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.filesystem, self.path = open_filesystem(address)

    def version(self) -> Version:
        with _interrupted():
            info = self.filesystem.get_file_info(self.path)
        if info.type != fs.FileType.File:
            raise MissingError
        return Version(str(info.mtime_ns), info.size)

    @contextmanager
    def open(self, offset: int, version: Version) -> Iterator[Body]:
        with _interrupted():
            file = self.filesystem.open_input_file(self.path)
            file.seek(offset)
        with file:
            yield Body(offset, _chunks(lambda: file.read(CHUNK)))


def _chunks(read: Callable[[], bytes]) -> Iterator[bytes]:
    """Reads to the end, unless that is too slow to have one."""
    since, received = time.monotonic(), 0
    while True:
        with _interrupted():
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
def _interrupted() -> Iterator[None]:
    """Raises InterruptedDownloadError for whatever another attempt may mend."""
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


def ask(
    method: str, address: str, headers: Mapping[str, str], patience: float = READ_TIMEOUT
) -> requests.Response:
    """Asks a server, and returns once the headers of its answer are there; the body is to be read.

    Args:
        method: Of HTTP.
        address: ``https://`` or ``http://``.
        headers: Of the request.
        patience: Seconds for which the server may be silent. Its headers, redirects among them,
            take twice that at most: who sends a byte now and then is never silent.

    Raises:
        requests.RequestException: There is no answer, or none in time.
    """
    connections = _Connections()
    with requests.Session() as session, connections.cut_after(2 * patience):
        for scheme in ("https://", "http://"):
            session.mount(scheme, connections)
        timeout = min(CONNECT_TIMEOUT, patience), patience
        return session.request(method, address, headers=headers, stream=True, timeout=timeout)


class _Connections(HTTPAdapter):
    def __init__(self) -> None:
        super().__init__()
        self._made: list[Any] = []  # urllib3's connections

    def get_connection_with_tls_context(self, *args: Any, **named: Any) -> Any:
        """Remembers what is made by requests' own."""
        pool = super().get_connection_with_tls_context(*args, **named)
        make = type(pool).ConnectionCls

        def connection(**options: Any) -> Any:
            self._made.append(make(**options))
            return self._made[-1]

        pool.ConnectionCls = connection
        return pool

    @contextmanager
    def cut_after(self, seconds: float) -> Iterator[None]:
        """Cuts the connections where the block takes longer; it then ends with a timeout."""
        done, late = threading.Event(), threading.Event()

        def watch() -> None:
            pause = seconds
            while not done.wait(pause):
                late.set()
                self._cut()
                pause = 0.1  # a redirect may be on its way to another server

        threading.Thread(target=watch, daemon=True).start()
        try:
            yield
        except requests.RequestException:
            if not late.is_set():
                raise
        finally:
            done.set()
        # Headers that are cut look like headers that end.
        if late.is_set():
            raise requests.Timeout(f"no whole answer within {seconds:g} seconds")

    def _cut(self) -> None:
        for connection in list(self._made):
            with suppress(OSError, AttributeError):  # closed meanwhile, or not open yet
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
