"""A model's versions in a bucket, whichever service it is of.

A bucket knows no rename of many objects. So the files of a version are uploaded under ``.staging/``
and copied from there to the version's prefix inside the storage, and ``saved_model.pb`` is uploaded
last, on condition that there is none: that one write makes the version visible, to this registry
and to TensorFlow Serving alike. The number belongs to one run, whose attempts all write the same
bytes, so whatever was sent by an attempt that was killed is taken up by the next.

Whatever is deleted is named with its generation, so that what was written meanwhile stays: every
attempt copies all of a version's files anew, and whoever makes a version the champion writes its
``saved_model.pb`` anew.
"""

import io
import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from components.registry.storage import (
    SERVABLE,
    STAGING,
    Conflict,
    NotStoredError,
    Part,
    StoredFile,
    checked_name,
    version_number,
)
from components.shared.errors import StepError

ABSENT = "0"  # the generation of what is not there
ATTEMPTS = 5  # at a version whose staged files somebody else clears away
CONNECTIONS = 8
RETRY_SECONDS = 120.0  # for how long a request is tried again
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 16.0  # seconds between two tries; each is twice the one before


class UnavailableError(StepError):
    """A storage service does not answer, or not now: the same request may succeed later."""


class Object(NamedTuple):
    """An object as it was found."""

    generation: str  # another one after every write, of the same bytes too
    crc32c: str  # as in :class:`components.registry.storage.Digest`
    updated: float  # of its last write (Unix, s)

    def is_part(self, part: Part) -> bool:
        """Whether it has a file's content."""
        return self.crc32c == part.digest.crc32c


class Bucket(Protocol):
    """The objects of a bucket below a prefix, by their names relative to it.

    Nothing is tried again here: that is for :class:`RetryingBucket`. All errors are a
    :class:`StepError`, an :class:`UnavailableError` where another try may help, but for
    :class:`Conflict`: a condition does not hold, or what was found before is not there any more.
    """

    location: str  # the address, for people

    def list(self, prefix: str = "") -> dict[str, Object]:
        """Returns the objects whose names begin with ``prefix``, by the rest of their names."""

    def get(self, name: str) -> Object | None:
        """Returns an object without its content, None where it is not there."""

    def read(self, name: str, generation: str | None = None) -> bytes:
        """Reads an object, its checksum checked on the way; of one generation if that is given."""

    def download(self, name: str, target: Path) -> None:
        """Reads an object into a file, its checksum checked on the way."""

    def write(self, name: str, data: bytes, generation: str) -> None:
        """Writes an object on condition that its generation is the one given, or ``ABSENT``."""

    def upload(self, name: str, part: Part, only_new: bool = False) -> None:
        """Sends a file, on condition that there is no such object if ``only_new``.

        Raises:
            StepError: The file is not what its digest says.
        """

    def copy(self, source: str, target: str) -> None:
        """Copies an object within the storage."""

    def delete(self, name: str, found: Object) -> None:
        """Deletes an object as it was found; one that was written since stays, without an error."""


class RetryingBucket:
    """A bucket whose requests are tried again, ever more slowly, where the service may recover.

    A conditional write whose answer got lost is a :class:`Conflict` at the second try: whoever
    writes looks whether what is there is its own.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    def __getattr__(self, name: str) -> Any:
        """Returns the bucket's location, or a method that makes its request with patience."""
        found = getattr(self.bucket, name)
        return partial(_patiently, found) if callable(found) else found


def _patiently(request: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Makes a request again and again until it is answered.

    Raises:
        UnavailableError: It still is not after ``RETRY_SECONDS``.
    """
    deadline, pause = time.monotonic() + RETRY_SECONDS, FIRST_PAUSE
    while True:
        try:
            return request(*arguments, **named)
        except UnavailableError:
            if time.monotonic() + pause > deadline:
                raise
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, LONGEST_PAUSE)


class BucketStorage:
    """The files of one model in a bucket.

    Args:
        bucket: The objects of the model.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.location = bucket.location

    def versions(self) -> list[int]:
        """Returns the numbers of the versions that can be served, ascending."""
        return _servable(self.bucket.list())

    def taken_numbers(self) -> list[int]:
        """Returns every number that something lies under, a version or not, ascending."""
        numbers = {version_number(name.partition("/")[0]) for name in self.bucket.list()}
        return sorted(number for number in numbers if number is not None)

    def contains(self, version: int) -> bool:
        """Returns whether a version is there, without a look at the others."""
        return self.bucket.get(f"{version}/{SERVABLE}") is not None

    def files(self, version: int) -> list[str]:
        """Returns the names of a version's files, relative to it, sorted."""
        return sorted(self.bucket.list(f"{version}/"))

    def open(self, name: str) -> BinaryIO:
        """Reads a file, relative to the model, into memory."""
        try:
            return io.BytesIO(self.bucket.read(name))
        except Conflict:
            raise NotStoredError(
                f"{self.location}/{name}: not found, or removed meanwhile"
            ) from None

    def read(self, name: str) -> StoredFile:
        """Reads a small file and its generation."""
        found = self.bucket.get(name)
        if found is None:
            return StoredFile(None, ABSENT)
        return StoredFile(self.bucket.read(name, found.generation), found.generation)

    def replace(self, name: str, data: bytes, generation: str) -> None:
        """Replaces a small file on condition that its generation is still the one given."""
        self.bucket.write(name, data, generation)

    def publish(self, version: int, parts: Mapping[str, Part]) -> None:
        """Uploads the files aside, copies them over, and uploads ``saved_model.pb`` last."""
        others = {name: part for name, part in parts.items() if name != SERVABLE}
        there = self.bucket.list(f"{version}/")
        if SERVABLE in there or not there.keys() <= others.keys():
            raise Conflict(str(version))
        for _ in range(ATTEMPTS):
            if self._bring(version, others):
                break
        else:
            raise StepError(f"{self.location}/{version}: others keep removing it; try again")
        self._make_visible(version, parts[SERVABLE])
        staging = f"{STAGING}/{version}/"
        self._delete(staging, self.bucket.list(staging))
        self._check_complete(version, parts)

    def hold(self, version: int) -> bool:
        """Writes ``saved_model.pb`` anew, so that a removal under way misses it; says if it can."""
        name = f"{version}/{SERVABLE}"
        while found := self.bucket.get(name):
            try:
                data = self.bucket.read(name, found.generation)
                self.bucket.write(name, data, found.generation)
            except Conflict:
                continue  # removed, or held by somebody else, between the requests
            return True
        return False

    def remove(self, version: int, unneeded: Callable[[], bool]) -> bool:
        """Removes a version, first ``saved_model.pb``: without it there is no model to load."""
        found = self.bucket.list(f"{version}/")
        if SERVABLE not in found or not unneeded():
            return False
        self._delete(f"{version}/", {SERVABLE: found.pop(SERVABLE)})
        if self.contains(version):
            return False  # it is held: champion, since a moment ago
        self._delete(f"{version}/", found)
        return True

    def leftovers(self) -> dict[str, float]:
        """Returns what killed pushes left: staged files and versions without a model."""
        found = self.bucket.list()
        servable = set(_servable(found))
        last_writes: dict[str, float] = {}
        for name, each in found.items():
            first, _, rest = name.partition("/")
            if first == STAGING:
                first = f"{STAGING}/{rest.partition('/')[0]}"
            elif not rest or version_number(first) is None or version_number(first) in servable:
                continue
            last_writes[first] = max(last_writes.get(first, 0), each.updated)
        return last_writes

    def remove_leftover(self, leftover: str, before: float) -> bool:
        """Removes one of those, unless it was written to since or went live; says whether it did.

        A push that goes on copies its files anew, so that none of those found here is part of it.
        """
        found = self.bucket.list(f"{leftover}/")
        recent = any(each.updated > before for each in found.values())
        if not found or recent or SERVABLE in found:
            return False
        self._delete(f"{leftover}/", found)
        return True

    def fetch(self, version: int, cache: Path) -> Path:
        """Downloads a version into ``cache`` and returns its directory there."""
        directory = cache / str(version)

        def download(name: str) -> None:
            target = directory / checked_name(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.bucket.download(f"{version}/{name}", target)
            except Conflict:
                raise StepError(
                    f"{self.location}/{version}/{name}: removed meanwhile; try again"
                ) from None

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(download, self.bucket.list(f"{version}/")))
        return directory

    def _bring(self, version: int, parts: Mapping[str, Part]) -> bool:
        """Stages what is not staged yet and copies all of it; returns whether all is there now."""
        staging = f"{STAGING}/{version}/"
        self._upload(staging, _missing(self.bucket.list(staging), parts))

        def copy(name: str) -> None:
            with suppress(Conflict):  # another attempt has copied it already and cleared up
                self.bucket.copy(staging + name, f"{version}/{name}")

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(copy, parts))
        return not _missing(self.bucket.list(f"{version}/"), parts)

    def _upload(self, staging: str, parts: Mapping[str, Part]) -> None:
        """Sends files, several at a time, to names that begin with ``staging``."""
        console = Console()
        size = sum(part.digest.size for part in parts.values())
        columns = (TextColumn("Uploading"), BarColumn(), DownloadColumn())
        with (
            Progress(*columns, console=console, disable=not console.is_terminal) as progress,
            ThreadPoolExecutor(CONNECTIONS) as pool,
        ):
            bar = progress.add_task("", total=size)
            sent = {
                pool.submit(self.bucket.upload, staging + name, part): part
                for name, part in parts.items()
            }
            try:
                for done in as_completed(sent):
                    done.result()
                    progress.advance(bar, sent[done].digest.size)
            except BaseException:
                pool.shutdown(cancel_futures=True)  # the rest would only fail likewise
                raise
        print(f"Uploaded {len(parts)} files, {size / 1e6:.1f} MB, to {self.location}", flush=True)

    def _make_visible(self, version: int, part: Part) -> None:
        name = f"{version}/{SERVABLE}"
        try:
            self.bucket.upload(name, part, only_new=True)
        except Conflict:
            # Another attempt was quicker, or this one's answer got lost on the way.
            found = self.bucket.get(name)
            if not found or not found.is_part(part):
                raise Conflict(str(version)) from None

    def _check_complete(self, version: int, parts: Mapping[str, Part]) -> None:
        """Takes a version back whose files somebody removed in the moment it became visible."""
        there = self.bucket.list(f"{version}/")
        if missing := list(_missing(there, parts)):
            servable = {name: found for name, found in there.items() if name == SERVABLE}
            self._delete(f"{version}/", servable)
            raise StepError(
                f"{self.location}/{version}/{missing[0]}: removed while it was published; push "
                "again"
            )

    def _delete(self, prefix: str, found: Mapping[str, Object]) -> None:
        for name, each in found.items():
            self.bucket.delete(prefix + name, each)


def _servable(names: Mapping[str, Object]) -> list[int]:
    """Returns the versions among a model's objects, ascending: those with a model to load."""
    split = (name.partition("/") for name in names)
    numbers = (version_number(first) for first, _, rest in split if rest == SERVABLE)
    return sorted(number for number in numbers if number is not None)


def _missing(there: Mapping[str, Object], parts: Mapping[str, Part]) -> dict[str, Part]:
    """Returns the files that are not there, or are there with other content."""
    return {
        name: part
        for name, part in parts.items()
        if name not in there or not there[name].is_part(part)
    }
