"""Objects in an S3 bucket, below one prefix: conditions, checksums and errors.

Whatever speaks S3 will do that takes ``If-Match`` and ``If-None-Match`` on uploads; ``python -m
components.registry check`` tries it. Source of the conditions:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import boto3
import google_crc32c
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ResponseStreamingError,
)

from components.registry.bucket_storage import ABSENT, Object, UnavailableError, patiently
from components.registry.storage import Conflict, Part
from components.shared.environment import s3_endpoint, s3_region
from components.shared.errors import StepError

CHUNK = 8 << 20  # bytes sent at a time: what a cut connection costs at most, 5 MiB at least
CONNECTIONS = 16
CRC32C = "crc32c"  # of the content, in an object's own metadata, which every server keeps
# Answers that another try may not get; RequestTimeout and OperationAborted are a 400 and a 409.
TRANSIENT = {408, 429, 500, 502, 503, 504}
TRANSIENT_CODES = {"RequestTimeout", "OperationAborted"}
FAILED_CONDITIONS = {"PreconditionFailed", "ConditionalRequestConflict", "412"}
MISSING = {"NoSuchKey", "404", "NotFound"}
ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "301", "400"}


class S3Bucket:
    """The objects of a bucket below a prefix.

    Args:
        name: Name of the bucket.
        prefix: Where the objects lie in it, without a slash at the end.
    """

    def __init__(self, name: str, prefix: str) -> None:
        self.location = f"s3://{name}/{prefix}"
        self._name = name
        self._prefix = prefix + "/"

    @cached_property
    def _client(self) -> Any:
        config = Config(
            connect_timeout=10,
            read_timeout=60,
            retries={"total_max_attempts": 1},
            max_pool_connections=CONNECTIONS,
            s3={"addressing_style": "path"} if s3_endpoint() else {},
            # Checksums of Amazon's own kind, which many a server refuses; ours are in the metadata.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return boto3.session.Session().client(
            "s3", region_name=s3_region() or None, endpoint_url=s3_endpoint() or None, config=config
        )

    def list(self, prefix: str = "") -> dict[str, Object]:
        """Returns the objects whose names begin with ``prefix``, by the rest of their names."""
        full = self._prefix + prefix
        with self._errors_as_step_error():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._name, Prefix=full
            )
            return {
                item["Key"].removeprefix(full): Object(
                    item["ETag"], item["Size"], item["LastModified"].timestamp(), None
                )
                for page in pages
                for item in page.get("Contents", ())
                if not item["Key"].endswith("/")  # what some tools put there for a directory
            }

    def get(self, name: str) -> Object | None:
        """Returns an object without its content, None where it is not there."""
        with suppress(Conflict), self._errors_as_step_error():
            found = self._client.head_object(**self._object(name))
            return Object(
                found["ETag"],
                found["ContentLength"],
                found["LastModified"].timestamp(),
                found["Metadata"].get(CRC32C, ""),
            )
        return None

    def read(self, name: str, generation: str | None = None) -> bytes:
        """Reads an object, its checksum checked on the way; of one generation if that is given."""
        return b"".join(self._chunks(name, {"IfMatch": generation} if generation else {}))

    def download(self, name: str, target: Path) -> None:
        """Reads an object into a file, its checksum checked on the way."""
        with target.open("wb") as file:
            file.writelines(self._chunks(name, {}))

    def write(self, name: str, data: bytes, generation: str) -> None:
        """Writes an object on condition that its generation is the one given."""
        condition = {"IfNoneMatch": "*"} if generation == ABSENT else {"IfMatch": generation}
        self._put(name, data, condition)

    def upload(self, name: str, part: Part, only_new: bool = False) -> None:
        """Sends a file, on condition that there is no such object if ``only_new``."""
        condition = {"IfNoneMatch": "*"} if only_new else {}
        with part.source.open("rb") as file:
            if part.digest.size > CHUNK:
                self._send_in_parts(name, file, part, condition)
                return
            data = file.read()
        if _crc32c(data) != part.digest.crc32c:
            raise _changed(part)
        self._put(name, data, condition)

    def copy(self, source: str, target: str) -> None:
        """Copies an object within the storage."""
        with self._errors_as_step_error():
            self._client.copy_object(CopySource=self._object(source), **self._object(target))

    def delete(self, name: str) -> None:
        """Deletes an object; where there is none, that is no error."""
        with suppress(Conflict), self._errors_as_step_error():
            self._client.delete_object(**self._object(name))

    def _object(self, name: str) -> dict[str, str]:
        return {"Bucket": self._name, "Key": self._prefix + name}

    def _chunks(self, name: str, condition: dict[str, str]) -> Iterator[bytes]:
        """Reads an object.

        Raises:
            UnavailableError: What came is not what was written.
        """
        checksum = google_crc32c.Checksum()
        with self._errors_as_step_error():
            found = self._client.get_object(**self._object(name), **condition)
            for chunk in found["Body"].iter_chunks(CHUNK):
                checksum.update(chunk)
                yield chunk
        expected = found["Metadata"].get(CRC32C)
        if expected and base64.b64encode(checksum.digest()).decode() != expected:
            raise self._unavailable(f"{name} with another checksum than was written")

    def _put(self, name: str, data: bytes, condition: dict[str, str]) -> None:
        kind = "application/json" if name.endswith(".json") else "application/octet-stream"
        with self._errors_as_step_error():
            self._client.put_object(
                Body=data,
                ContentMD5=_md5(data),
                ContentType=kind,
                Metadata={CRC32C: _crc32c(data)},
                **self._object(name),
                **condition,
            )

    def _send_in_parts(
        self, name: str, file: BinaryIO, part: Part, condition: dict[str, str]
    ) -> None:
        """Sends a large file, of which a request that fails repeats one chunk."""
        with self._errors_as_step_error():
            upload = self._object(name) | {
                "UploadId": self._client.create_multipart_upload(
                    Metadata={CRC32C: part.digest.crc32c}, **self._object(name)
                )["UploadId"]
            }
        sent: list[dict[str, Any]] = []
        checksum = google_crc32c.Checksum()
        try:
            while chunk := file.read(CHUNK):
                checksum.update(chunk)
                number = len(sent) + 1
                tag = patiently(self._send_part, upload, number, chunk)
                sent.append({"PartNumber": number, "ETag": tag})
            if base64.b64encode(checksum.digest()).decode() != part.digest.crc32c:
                raise _changed(part)
            with self._errors_as_step_error():
                self._client.complete_multipart_upload(
                    MultipartUpload={"Parts": sent}, **upload, **condition
                )
        except BaseException:
            with suppress(StepError, Conflict), self._errors_as_step_error():
                self._client.abort_multipart_upload(**upload)
            raise

    def _send_part(self, upload: dict[str, str], number: int, chunk: bytes) -> str:
        with self._errors_as_step_error():
            answer = self._client.upload_part(
                Body=chunk, ContentMD5=_md5(chunk), PartNumber=number, **upload
            )
        return str(answer["ETag"])

    @contextmanager
    def _errors_as_step_error(self) -> Iterator[None]:
        """Turns what S3 says into a line for people, free of requests and keys."""
        try:
            yield
        except ClientError as error:
            raise self._refused(error) from None
        except (NoCredentialsError, PartialCredentialsError):
            raise StepError(
                f"{self.location}: no credentials for s3://; set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or run: aws configure"
            ) from None
        except (HTTPClientError, IncompleteReadError, ResponseStreamingError) as error:
            raise self._unavailable(type(error).__name__) from None
        except BotoCoreError as error:
            raise StepError(
                f"{self.location}: S3 cannot be used ({type(error).__name__}: {error})"
            ) from None

    def _refused(self, error: ClientError) -> Exception:
        code = error.response["Error"]["Code"]
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if code in FAILED_CONDITIONS | MISSING:
            return Conflict(self.location)
        if code == "NoSuchBucket":
            return StepError(
                f"s3://{self._name}: not found; create the bucket, or name another one"
            )
        if status in TRANSIENT or code in TRANSIENT_CODES:
            return UnavailableError(f"{self.location}: S3 answers {status} ({code}); try again")
        if status in (401, 403):
            return StepError(
                f"{self.location}: permission denied ({code}); the credentials need s3:ListBucket "
                "on the bucket, s3:GetObject, s3:PutObject and s3:DeleteObject on what is in it"
            )
        advice = "set AWS_REGION to the bucket's region" if code in ELSEWHERE else "see its log"
        return StepError(f"{self.location}: S3 answers {status} ({code}); {advice}")

    def _unavailable(self, reason: str) -> UnavailableError:
        return UnavailableError(
            f"{self.location}: S3 cannot be reached or answers wrongly ({reason}); try again"
        )


def _changed(part: Part) -> StepError:
    return StepError(f"{part.source}: changed while it was published; push it again")


def _crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
