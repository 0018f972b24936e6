"""Objects in a Cloud Storage bucket, below one prefix: conditions, checksums and errors.

Credentials are the Application Default Credentials and nothing else. Source of the conditions:
https://cloud.google.com/storage/docs/request-preconditions
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import cast

from google.api_core.exceptions import (
    Forbidden,
    GoogleAPICallError,
    NotFound,
    PreconditionFailed,
    RetryError,
    Unauthorized,
)
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY
from requests import RequestException

from components.registry.bucket_storage import RETRY_SECONDS, Object, UnavailableError
from components.registry.storage import Conflict, Part
from components.shared.errors import StepError

CHUNK = 8 << 20  # bytes sent at a time: what a cut connection costs at most, a multiple of 256 KiB
# Within one upload, which only the client can take up again at the chunk that it reached.
RESUME = DEFAULT_RETRY.with_delay(0.25, 16, 2).with_timeout(RETRY_SECONDS)
TIMEOUT = (10, 60)  # seconds to connect, and without an answer
TRANSIENT = {408, 429, 500, 502, 503, 504}  # answers that another try may not get


class GcsBucket:
    """The objects of a bucket below a prefix.

    Args:
        name: Name of the bucket.
        prefix: Where the objects lie in it, without a slash at the end.
    """

    def __init__(self, name: str, prefix: str) -> None:
        self.location = f"gs://{name}/{prefix}"
        self._name = name
        self._prefix = prefix + "/"

    @cached_property
    def _bucket(self) -> storage.Bucket:
        return storage.Client().bucket(self._name)

    def list(self, prefix: str = "") -> dict[str, Object]:
        """Returns the objects whose names begin with ``prefix``, by the rest of their names."""
        full = self._prefix + prefix
        with self._errors_as_step_error():
            blobs = self._bucket.list_blobs(
                prefix=full,
                fields="items(name,crc32c,updated,generation,size),nextPageToken",
                retry=None,
                timeout=TIMEOUT,
            )
            return {blob.name.removeprefix(full): _found(blob) for blob in blobs}

    def get(self, name: str) -> Object | None:
        """Returns an object without its content, None where it is not there."""
        with self._errors_as_step_error():
            blob = self._bucket.get_blob(self._prefix + name, retry=None, timeout=TIMEOUT)
            return _found(blob) if blob else None

    def read(self, name: str, generation: str | None = None) -> bytes:
        """Reads an object, its checksum checked on the way; of one generation if that is given."""
        condition = int(generation) if generation else None
        with self._errors_as_step_error(), _absence_as_conflict(name):
            return self._blob(name).download_as_bytes(
                if_generation_match=condition, retry=None, timeout=TIMEOUT
            )

    def download(self, name: str, target: Path) -> None:
        """Reads an object into a file, its checksum checked on the way."""
        with self._errors_as_step_error(), _absence_as_conflict(name):
            self._blob(name).download_to_filename(
                str(target), checksum="crc32c", retry=None, timeout=TIMEOUT
            )

    def write(self, name: str, data: bytes, generation: str) -> None:
        """Writes an object on condition that its generation is the one given."""
        json = name.endswith(".json")
        with self._errors_as_step_error():
            self._blob(name).upload_from_string(
                data,
                content_type="application/json" if json else "application/octet-stream",
                if_generation_match=int(generation),
                checksum="crc32c",
                retry=None,
                timeout=TIMEOUT,
            )

    def upload(self, name: str, part: Part, only_new: bool = False) -> None:
        """Sends a file, on condition that there is no such object if ``only_new``."""
        blob = self._blob(name)
        with self._errors_as_step_error(), part.source.open("rb") as file:
            blob.upload_from_file(
                file,
                size=part.digest.size,
                content_type="application/octet-stream",
                if_generation_match=0 if only_new else None,
                checksum="crc32c",
                retry=RESUME,
                timeout=TIMEOUT,
            )
        if cast(str, blob.crc32c) != part.digest.crc32c:
            raise StepError(f"{part.source}: changed while it was published; push it again")

    def copy(self, source: str, target: str) -> None:
        """Copies an object within the storage; a large one takes several requests."""
        blob, token = self._blob(target), None
        with self._errors_as_step_error(), _absence_as_conflict(source):
            while True:
                token, *_ = blob.rewrite(
                    self._blob(source), token=token, retry=None, timeout=TIMEOUT
                )
                if token is None:
                    return

    def delete(self, name: str) -> None:
        """Deletes an object; where there is none, that is no error."""
        with self._errors_as_step_error(), suppress(NotFound):
            self._blob(name).delete(retry=None, timeout=TIMEOUT)

    @contextmanager
    def _errors_as_step_error(self) -> Iterator[None]:
        """Turns what Cloud Storage says into a line for people, free of requests and tokens."""
        try:
            yield
        except PreconditionFailed:
            raise Conflict(self.location) from None
        except NotFound:
            raise StepError(
                f"gs://{self._name}: not found; create the bucket, or name another one"
            ) from None
        except (Forbidden, Unauthorized) as error:
            raise StepError(
                f"{self.location}: permission denied ({error.code}); the credentials need "
                "roles/storage.objectUser on the bucket"
            ) from None
        except TransportError as error:
            raise self._unavailable(type(error).__name__) from None
        except GoogleAuthError as error:
            raise StepError(
                f"{self.location}: no usable Application Default Credentials "
                f"({type(error).__name__}); run: gcloud auth application-default login"
            ) from None
        except GoogleAPICallError as error:
            kind = UnavailableError if error.code in TRANSIENT else StepError
            raise kind(f"{self.location}: Cloud Storage answers {error.code}; try again") from None
        except (RetryError, InvalidResponse, DataCorruption, RequestException) as error:
            raise self._unavailable(type(error).__name__) from None

    def _unavailable(self, reason: str) -> UnavailableError:
        return UnavailableError(
            f"{self.location}: Cloud Storage cannot be reached or answers wrongly ({reason}); try "
            "again"
        )

    def _blob(self, name: str) -> storage.Blob:
        return self._bucket.blob(self._prefix + name, chunk_size=CHUNK)


@contextmanager
def _absence_as_conflict(name: str) -> Iterator[None]:
    """Says that an object that is to be read is not there."""
    try:
        yield
    except NotFound:
        raise Conflict(name) from None


def _found(blob: storage.Blob) -> Object:
    return Object(str(blob.generation), blob.size, blob.updated.timestamp(), blob.crc32c)
