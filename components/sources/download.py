"""Files from ``https://`` and ``gs://`` in a cache on disk: fetched once, resumed, checked."""

import fcntl
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import tenacity

from components.shared.addresses import redacted
from components.shared.errors import StepError
from components.shared.storage import write_text
from components.sources.remote import (
    InterruptedDownloadError,
    MissingError,
    Remote,
    Version,
    open_remote,
)

Result = TypeVar("Result")

ATTEMPTS = 5  # in a row that bring less than
LITTLE = 4_096  # bytes
LARGEST = 1 << 36  # bytes of a file whose size the server does not say


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
