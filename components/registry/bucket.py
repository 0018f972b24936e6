"""Objects in a Cloud Storage bucket, below one prefix: conditions, checksums, retries and errors.

Source of the conditions: https://cloud.google.com/storage/docs/request-preconditions
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

from google.api_core.exceptions import (
    Forbidden,
    GoogleAPICallError,
    NotFound,
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

from components.registry.storage import Part
from components.shared.errors import StepError

CONNECTIONS = 8
CHUNK = 8 << 20  # bytes sent at a time: what a cut connection costs at most, a multiple of 256 KiB
# Answers 408, 429 and 5xx and broken connections are tried again, ever more slowly, for this long.
RETRY = DEFAULT_RETRY.with_delay(initial=0.25, multiplier=2, maximum=16).with_timeout(120)
TIMEOUT = (10, 60)  # seconds to connect, and without an answer


class Bucket:
    """The objects of a bucket below a prefix, by their names relative to it.

    Credentials are the Application Default Credentials and nothing else. Every method but
    :meth:`explained` is called within that, which makes a StepError of what goes wrong.

    Args:
        name: Name of the bucket.
        prefix: Where the objects lie in it, without a slash at the end.
    """

    def __init__(self, name: str, prefix: str) -> None:
        self.where = f"gs://{name}/{prefix}"
        self._name = name
        self._prefix = prefix + "/"

    @cached_property
    def _bucket(self) -> storage.Bucket:
        return storage.Client().bucket(self._name)

    def list(self, prefix: str = "") -> dict[str, storage.Blob]:
        """Returns the objects below a prefix, by their names relative to it."""
        full = self._prefix + prefix
        blobs = self._bucket.list_blobs(
            prefix=full,
            fields="items(name,size,crc32c,updated,generation),nextPageToken",
            retry=RETRY,
            timeout=TIMEOUT,
        )
        return {blob.name.removeprefix(full): blob for blob in blobs}

    def get(self, name: str) -> storage.Blob | None:
        """Returns an object, with its generation and checksum, if it is there."""
        return self._bucket.get_blob(self._prefix + name, retry=RETRY, timeout=TIMEOUT)

    def open(self, name: str) -> BinaryIO:
        """Reads an object into memory, its checksum checked on the way."""
        with self._found(name):
            return io.BytesIO(self._blob(name).download_as_bytes(retry=RETRY, timeout=TIMEOUT))

    def fetch(self, name: str, target: Path) -> None:
        """Downloads an object to a file, its checksum checked on the way."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._found(name):
            self._blob(name).download_to_filename(
                str(target), checksum="crc32c", retry=RETRY, timeout=TIMEOUT
            )

    def download(self, blob: storage.Blob) -> bytes:
        """Reads the generation of an object that was found."""
        return blob.download_as_bytes(
            if_generation_match=blob.generation, retry=RETRY, timeout=TIMEOUT
        )

    def write(self, name: str, data: bytes, generation: int, content_type: str) -> None:
        """Writes an object on condition that its generation is the one given."""
        self._blob(name).upload_from_string(
            data,
            content_type=content_type,
            if_generation_match=generation,
            checksum="crc32c",
            retry=RETRY,
            timeout=TIMEOUT,
        )

    def upload(self, staging: str, parts: Mapping[str, Part]) -> None:
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
                pool.submit(self.send, staging + name, part): part for name, part in parts.items()
            }
            try:
                for done in as_completed(sent):
                    done.result()
                    progress.advance(bar, sent[done].digest.size)
            except BaseException:
                pool.shutdown(cancel_futures=True)  # the rest would only fail likewise
                raise
        print(f"Uploaded {len(parts)} files, {size / 1e6:.1f} MB, to {self.where}", flush=True)

    def send(self, name: str, part: Part, **condition: int) -> None:
        """Sends a file, on a condition of Cloud Storage's if one is given.

        Raises:
            StepError: It is not what its digest says.
        """
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
        if not is_part(blob, part):
            raise StepError(f"{part.source}: changed while it was published; push it again")

    def copy(self, source: str, target: str, name: str) -> None:
        """Copies an object within the storage, unless it is not there any more."""
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

    def remove(self, blobs: Iterable[storage.Blob]) -> None:
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
    def explained(self) -> Iterator[None]:
        """Turns what Cloud Storage says into a line for people, free of requests and tokens."""
        try:
            yield
        except NotFound:
            raise StepError(
                f"gs://{self._name}: not found; create the bucket, or name another one"
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

    def _blob(self, name: str) -> storage.Blob:
        return self._bucket.blob(self._prefix + name, chunk_size=CHUNK)


def is_part(blob: storage.Blob | None, part: Part) -> bool:
    """Tells whether an object is there and has a file's content."""
    return blob is not None and cast(str, blob.crc32c) == part.digest.crc32c
