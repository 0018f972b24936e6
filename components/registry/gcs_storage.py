"""A model's versions in a Cloud Storage bucket.

A bucket knows no rename of many objects. So the files of a version are uploaded under ``.staging/``
and copied from there to the version's prefix inside the storage, and ``saved_model.pb`` is uploaded
last, on condition that there is none: that one write makes the version visible, to this registry
and to TensorFlow Serving alike. The number belongs to one run, whose attempts all write the same
bytes, so whatever was sent by an attempt that was killed is taken up by the next.

Whatever is deleted is named with its generation, so that what was written meanwhile stays: every
attempt copies all of a version's files anew, and whoever makes a version the champion writes its
``saved_model.pb`` anew.

Source of the conditions: https://cloud.google.com/storage/docs/request-preconditions
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

from google.api_core.exceptions import (
    Forbidden,
    GoogleAPICallError,
    NotFound,
    PreconditionFailed,
    RetryError,
    Unauthorized,
)
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY
from requests import RequestException
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from components.registry.storage import (
    SERVABLE,
    STAGING,
    Conflict,
    Part,
    Stored,
    checked_name,
    number,
    whole_versions,
)
from components.shared.errors import StepError

CONNECTIONS = 8
CHUNK = 8 << 20  # bytes sent at a time: what a cut connection costs at most, a multiple of 256 KiB
# Answers 408, 429 and 5xx and broken connections are tried again, ever more slowly, for this long.
RETRY = DEFAULT_RETRY.with_delay(initial=0.25, multiplier=2, maximum=16).with_timeout(120)
TIMEOUT = (10, 60)  # seconds to connect, and without an answer
ATTEMPTS = 5  # at a version whose staged files somebody else clears away


class GcsStorage:
    """The files of one model under a prefix of a bucket.

    Credentials are the Application Default Credentials and nothing else.

    Args:
        bucket: Name of the bucket.
        prefix: Where the model's files lie in it, without a slash at the end.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        self.where = f"gs://{bucket}/{prefix}"
        self._bucket_name = bucket
        self._prefix = prefix + "/"

    @cached_property
    def _bucket(self) -> storage.Bucket:
        return storage.Client().bucket(self._bucket_name)

    def versions(self) -> list[int]:
        """Returns the numbers of the whole versions, ascending."""
        with self._explained():
            return whole_versions(self._list())

    def numbers(self) -> list[int]:
        """Returns every number that something lies under, a version or not."""
        with self._explained():
            tops = {number(name.partition("/")[0]) for name in self._list()}
            return sorted(top for top in tops if top is not None)

    def files(self, version: int) -> list[str]:
        """Returns the names of a version's files, relative to it, sorted."""
        with self._explained():
            return sorted(self._list(f"{version}/"))

    def open(self, name: str) -> BinaryIO:
        """Reads a file, relative to the model, into memory, its checksum checked on the way."""
        blob = self._blob(name)
        with self._explained(), self._found(name):
            return io.BytesIO(blob.download_as_bytes(retry=RETRY, timeout=TIMEOUT))

    def read(self, name: str) -> Stored:
        """Reads a small file and its generation."""
        with self._explained():
            blob = self._bucket.get_blob(self._prefix + name, retry=RETRY, timeout=TIMEOUT)
            if blob is None:
                return Stored(None, "0")
            try:
                data = self._download(blob)
            except (NotFound, PreconditionFailed):
                raise Conflict(name) from None  # replaced between the two requests
            return Stored(data, str(blob.generation))

    def replace(self, name: str, data: bytes, generation: str) -> None:
        """Replaces a small file on condition that its generation is still the one given."""
        with self._explained():
            try:
                self._write(name, data, int(generation), "application/json")
            except PreconditionFailed:
                raise Conflict(name) from None

    def publish(self, version: int, parts: Mapping[str, Part]) -> None:
        """Uploads the files aside, copies them over, and uploads ``saved_model.pb`` last."""
        rest = {name: part for name, part in parts.items() if name != SERVABLE}
        with self._explained():
            if SERVABLE in (there := self._list(f"{version}/")) or not there.keys() <= rest.keys():
                raise Conflict(str(version))
            for _ in range(ATTEMPTS):
                if self._bring(version, rest):
                    break
            else:
                raise StepError(f"{self.where}/{version}: others keep removing it; try again")
            self._make_visible(version, parts[SERVABLE])
            self._remove(self._list(f"{STAGING}/{version}/").values())
            self._expect(version, parts)

    def hold(self, version: int) -> bool:
        """Writes ``saved_model.pb`` anew, so that a removal under way misses it; says if it can."""
        name = f"{version}/{SERVABLE}"
        with self._explained():
            while True:
                blob = self._bucket.get_blob(self._prefix + name, retry=RETRY, timeout=TIMEOUT)
                if blob is None:
                    return False
                try:
                    data = self._download(blob)
                    self._write(name, data, blob.generation, "application/octet-stream")
                except (NotFound, PreconditionFailed):
                    continue  # removed, or held by somebody else, between the requests
                return True

    def remove(self, version: int, unneeded: Callable[[], bool]) -> bool:
        """Removes a version, first ``saved_model.pb``: without it there is no model to load."""
        with self._explained():
            found = self._list(f"{version}/")
            if SERVABLE not in found or not unneeded():
                return False
            self._remove([found.pop(SERVABLE)])
            if SERVABLE in self._list(f"{version}/"):
                return False  # it is held: champion, since a moment ago
            self._remove(found.values())
            return True

    def leftovers(self) -> dict[str, float]:
        """Returns what killed pushes left: staged files and versions without a model."""
        with self._explained():
            found = self._list()
            whole = set(whole_versions(found))
            last_writes: dict[str, float] = {}
            for name, blob in found.items():
                first, _, rest = name.partition("/")
                if first == STAGING:
                    first = f"{STAGING}/{rest.partition('/')[0]}"
                elif not rest or number(first) is None or number(first) in whole:
                    continue
                last_writes[first] = max(last_writes.get(first, 0), blob.updated.timestamp())
            return last_writes

    def clear(self, leftover: str, before: float) -> bool:
        """Removes one of those, unless it was written to since or went live; says whether it did.

        A push that goes on copies its files anew, so that none of those found here is part of it.
        """
        with self._explained():
            found = self._list(f"{leftover}/")
            recent = any(blob.updated.timestamp() > before for blob in found.values())
            if not found or recent or SERVABLE in found:
                return False
            self._remove(found.values())
            return True

    def fetch(self, version: int, cache: Path) -> Path:
        """Downloads a version into ``cache`` and returns its directory there."""
        directory = cache / str(version)

        def download(name: str) -> None:
            target = directory / checked_name(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._found(f"{version}/{name}"):
                self._blob(f"{version}/{name}").download_to_filename(
                    str(target), checksum="crc32c", retry=RETRY, timeout=TIMEOUT
                )

        with self._explained(), ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(download, self._list(f"{version}/")))
        return directory

    def _blob(self, name: str) -> storage.Blob:
        return self._bucket.blob(self._prefix + name, chunk_size=CHUNK)

    def _list(self, prefix: str = "") -> dict[str, storage.Blob]:
        """Returns the objects below a prefix, by their names relative to it."""
        full = self._prefix + prefix
        blobs = self._bucket.list_blobs(
            prefix=full,
            fields="items(name,size,crc32c,updated,generation),nextPageToken",
            retry=RETRY,
            timeout=TIMEOUT,
        )
        return {blob.name.removeprefix(full): blob for blob in blobs}

    def _download(self, blob: storage.Blob) -> bytes:
        """Reads the generation of an object that was found."""
        return blob.download_as_bytes(
            if_generation_match=blob.generation, retry=RETRY, timeout=TIMEOUT
        )

    def _write(self, name: str, data: bytes, generation: int, content_type: str) -> None:
        """Writes an object on condition that its generation is the one given."""
        self._blob(name).upload_from_string(
            data,
            content_type=content_type,
            if_generation_match=generation,
            checksum="crc32c",
            retry=RETRY,
            timeout=TIMEOUT,
        )

    def _bring(self, version: int, parts: Mapping[str, Part]) -> bool:
        """Stages what is not staged yet and copies all of it; returns whether all is there now."""
        staging = f"{STAGING}/{version}/"
        staged = self._list(staging)
        self._upload(
            staging,
            {name: part for name, part in parts.items() if not _is(staged.get(name), part)},
        )
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(lambda name: self._copy(staging, f"{version}/", name), parts))
        return not self._missing(version, parts)

    def _missing(self, version: int, parts: Mapping[str, Part]) -> list[str]:
        there = self._list(f"{version}/")
        return [name for name, part in parts.items() if not _is(there.get(name), part)]

    def _upload(self, staging: str, parts: Mapping[str, Part]) -> None:
        console = Console()
        size = sum(part.digest.size for part in parts.values())
        columns = (TextColumn("Uploading"), BarColumn(), DownloadColumn())
        with (
            Progress(*columns, console=console, disable=not console.is_terminal) as progress,
            ThreadPoolExecutor(CONNECTIONS) as pool,
        ):
            bar = progress.add_task("", total=size)
            sent = {
                pool.submit(self._send, staging + name, part): part for name, part in parts.items()
            }
            try:
                for done in as_completed(sent):
                    done.result()
                    progress.advance(bar, sent[done].digest.size)
            except BaseException:
                pool.shutdown(cancel_futures=True)  # the rest would only fail likewise
                raise
        print(f"Uploaded {len(parts)} files, {size / 1e6:.1f} MB, to {self.where}", flush=True)

    def _send(self, name: str, part: Part, **condition: int) -> storage.Blob:
        blob = self._blob(name)
        with part.source.open("rb") as file:
            blob.upload_from_file(
                file,
                size=part.digest.size,
                content_type="application/octet-stream",
                checksum="crc32c",
                retry=RETRY,
                timeout=TIMEOUT,
                **condition,
            )
        if not _is(blob, part):
            raise StepError(f"{part.source}: changed while it was published; push it again")
        return blob

    def _copy(self, source: str, target: str, name: str) -> None:
        blob, token = self._blob(target + name), None
        while True:  # a large object takes several requests
            try:
                token, *_ = blob.rewrite(
                    self._blob(source + name), token=token, retry=RETRY, timeout=TIMEOUT
                )
            except NotFound:
                return  # another attempt has copied it already and cleared up: the check tells
            if token is None:
                return

    def _make_visible(self, version: int, part: Part) -> None:
        name = f"{version}/{SERVABLE}"
        try:
            self._send(name, part, if_generation_match=0)
        except PreconditionFailed:
            # Another attempt was quicker, or this one's answer got lost on the way.
            blob = self._bucket.get_blob(self._prefix + name, retry=RETRY, timeout=TIMEOUT)
            if not _is(blob, part):
                raise Conflict(str(version)) from None

    def _expect(self, version: int, parts: Mapping[str, Part]) -> None:
        """Takes a version back whose files somebody removed in the moment it became visible."""
        if missing := self._missing(version, parts):
            servable = self._list(f"{version}/").get(SERVABLE)
            self._remove([servable] if servable else [])
            raise StepError(
                f"{self.where}/{version}/{missing[0]}: removed while it was published; push again"
            )

    def _remove(self, blobs: Iterable[storage.Blob]) -> None:
        """Deletes objects as they were found: what was written since has another generation."""
        for blob in blobs:
            try:
                blob.delete(retry=RETRY, timeout=TIMEOUT)
            except NotFound:
                continue  # by somebody else, or by a request whose answer got lost

    @contextmanager
    def _found(self, name: str) -> Iterator[None]:
        """Names the object where one that was listed is gone."""
        try:
            yield
        except NotFound:
            raise StepError(f"{self.where}/{name}: removed meanwhile; try again") from None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what Cloud Storage says into a line for people, free of requests and tokens."""
        try:
            yield
        except NotFound:
            raise StepError(
                f"gs://{self._bucket_name}: not found; create the bucket, or name another one"
            ) from None
        except (Forbidden, Unauthorized) as error:
            raise StepError(
                f"{self.where}: permission denied ({error.code}); the credentials need "
                "roles/storage.objectUser on the bucket"
            ) from None
        except GoogleAuthError as error:
            raise StepError(
                f"{self.where}: no usable Application Default Credentials "
                f"({type(error).__name__}); run: gcloud auth application-default login"
            ) from None
        except GoogleAPICallError as error:
            raise StepError(
                f"{self.where}: Cloud Storage answers {error.code}; try again"
            ) from None
        except (RetryError, InvalidResponse, DataCorruption, RequestException) as error:
            raise StepError(
                f"{self.where}: Cloud Storage cannot be reached or answers wrongly "
                f"({type(error).__name__}); try again"
            ) from None


def _is(blob: storage.Blob | None, part: Part) -> bool:
    return blob is not None and cast(str, blob.crc32c) == part.digest.crc32c
