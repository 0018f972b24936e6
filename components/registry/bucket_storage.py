"""A model's versions in a bucket, whichever service it is of.

A bucket knows no rename of many objects. So the files of a version are uploaded under ``.staging/``
and copied from there to the version's prefix inside the storage, and ``saved_model.pb`` is uploaded
last, on condition that there is none: that one write makes the version visible, to this registry
and to TensorFlow Serving alike. The number belongs to one run, whose attempts all write the same
bytes, so whatever was sent by an attempt that was killed is taken up by the next.

What becomes of a number is decided at one object, ``.numbers/<number>``, which is only ever
written by compare-and-swap: a push, and whoever makes the version the champion, write a new random
text to it, and a removal makes it empty, first of all and for good. So of a removal and anything
else at once, one always fails; no deletion needs a condition; and a number that was removed is
never used again, so that no deletion that comes late hits another version.
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
from uuid import uuid4

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from components.registry.storage import (
    MARKS,
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

    generation: str  # another one after every write of other bytes
    size: int  # bytes
    updated: float  # of its last write (Unix, s)
    crc32c: str | None  # as in :class:`components.registry.storage.Digest`; None: not in a list


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

    def delete(self, name: str) -> None:
        """Deletes an object; where there is none, that is no error."""


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
        return partial(patiently, found) if callable(found) else found


def patiently(request: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
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
        names = (name.removeprefix(f"{MARKS}/") for name in self.bucket.list())
        numbers = {version_number(name.partition("/")[0]) for name in names}
        return sorted(number for number in numbers if number is not None)

    def contains(self, version: int) -> bool:
        """Returns whether a version is there, without a look at the others."""
        there = self.bucket.get(f"{version}/{SERVABLE}") is not None
        return there and not _is_removed(self._mark(version))

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
        foreign = SERVABLE in there or not there.keys() <= others.keys()
        if foreign or _is_removed(self._mark(version)):
            raise Conflict(str(version))
        for _ in range(ATTEMPTS):
            if self._bring(version, others):
                break
        else:
            raise StepError(f"{self.location}/{version}: others keep removing it; try again")
        self._make_visible(version, parts[SERVABLE])
        self._clear(f"{STAGING}/{version}/")

    def hold(self, version: int) -> bool:
        """Marks a version anew, so that a removal under way misses it; says if it is there."""
        while True:
            mark = self._mark(version)
            if _is_removed(mark) or self.bucket.get(f"{version}/{SERVABLE}") is None:
                return False
            with suppress(Conflict):  # removed, or held by somebody else, between the requests
                self._write_mark(version, uuid4().hex, mark)
                return True

    def remove(self, version: int, unneeded: Callable[[], bool]) -> bool:
        """Removes a version if nobody has marked it anew since before the look for the need."""
        mark = self._mark(version)
        if not self.contains(version) or not unneeded() or not self._mark_removed(version, mark):
            return False
        self._clear(f"{version}/")
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

        A push that finds its number removed takes another one; one that finds what it has staged
        removed stages it again.
        """
        version = version_number(leftover)
        mark = self._mark(version) if version else None  # before the look at what is there
        found = self.bucket.list(f"{leftover}/")
        if not found or any(each.updated > before for each in found.values()):
            return False
        went_live = SERVABLE in found and not _is_removed(mark)
        if version and (went_live or not self._mark_removed(version, mark)):
            return False
        self._clear(f"{leftover}/")
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
        self._upload(staging, self._missing(staging, parts))

        def copy(name: str) -> None:
            with suppress(Conflict):  # another attempt has copied it already and cleared up
                self.bucket.copy(staging + name, f"{version}/{name}")

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(copy, parts))
        return not self._missing(f"{version}/", parts)

    def _missing(self, prefix: str, parts: Mapping[str, Part]) -> dict[str, Part]:
        """Returns the files that are not there, or are there with other content."""
        there = self.bucket.list(prefix)

        def is_there(name: str) -> bool:
            found = there.get(name)
            if found and found.crc32c is None:
                found = self.bucket.get(prefix + name)
            return found is not None and found.crc32c == parts[name].digest.crc32c

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            found = dict(zip(parts, pool.map(is_there, parts), strict=True))
        return {name: part for name, part in parts.items() if not found[name]}

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
        """Uploads ``saved_model.pb`` and marks the number, unless that was removed meanwhile.

        A version without a mark is one, too: an earlier release has published it, or a push was
        killed between the two.
        """
        try:
            self.bucket.upload(f"{version}/{SERVABLE}", part, only_new=True)
        except Conflict:
            # Another attempt was quicker, or this one's answer got lost on the way.
            if self._missing(f"{version}/", {SERVABLE: part}):
                raise
        if not self.hold(version):
            raise Conflict(str(version))

    def _mark(self, version: int) -> Object | None:
        return self.bucket.get(f"{MARKS}/{version}")

    def _write_mark(self, version: int, text: str, found: Object | None) -> None:
        generation = found.generation if found else ABSENT
        self.bucket.write(f"{MARKS}/{version}", text.encode(), generation)

    def _mark_removed(self, version: int, found: Object | None) -> bool:
        """Decides for good that a number is not used; returns whether that was still possible."""
        try:
            self._write_mark(version, "", found)
        except Conflict:
            return _is_removed(self._mark(version))  # the answer got lost, or somebody else did it
        return True

    def _clear(self, prefix: str) -> None:
        """Deletes what begins with a prefix, first what makes others take it for a model."""
        for name in sorted(self.bucket.list(prefix), key=lambda name: name != SERVABLE):
            self.bucket.delete(prefix + name)


def _is_removed(mark: Object | None) -> bool:
    return mark is not None and not mark.size


def _servable(found: Mapping[str, Object]) -> list[int]:
    """Returns the versions among a model's objects, ascending: those with a model to load."""
    split = (name.partition("/") for name in found)
    numbers = (version_number(first) for first, _, rest in split if rest == SERVABLE)
    return sorted(
        number
        for number in numbers
        if number is not None and not _is_removed(found.get(f"{MARKS}/{number}"))
    )
