"""Buckets as pyarrow's file systems: ``gs://`` and ``s3://``, and which of them one is."""

import os
import re
from datetime import timedelta
from urllib.parse import urlsplit

from pyarrow import fs

from components.shared.environment import s3_endpoint, s3_region
from components.shared.errors import explain

GIVE_UP_AFTER = timedelta(minutes=2)
S3_ATTEMPTS = 3  # at a request that fails; the pauses between them are short
_S3_ERROR = re.compile(r"AWS Error (\w+)(?: \(.*?\))? during (\w+)")
_S3_ADVICE = {
    "ACCESS_DENIED": "see that AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY may read and list it",
    "NETWORK_CONNECTION": "see that AWS_ENDPOINT_URL is the server's address",
}
_SCHEMES = {"gcs": "gs://", "s3": "s3://"}  # by what pyarrow calls the file system


def open_bucket(address: str, give_up_after: timedelta = GIVE_UP_AFTER) -> fs.FileSystem:
    """Returns the file system of an address in a bucket; credentials are the service's usual ones.

    ``STORAGE_EMULATOR_HOST`` and ``AWS_ENDPOINT_URL``, which the services' own clients follow too,
    name other servers than Google's and Amazon's.

    Args:
        address: ``gs://bucket/path`` or ``s3://bucket/path``.
        give_up_after: Of requests that fail, and are worth another.
    """
    return _open_s3(give_up_after) if address.startswith("s3://") else _open_gcs(give_up_after)


def _open_gcs(give_up_after: timedelta) -> fs.FileSystem:
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if not emulator:
        return fs.GcsFileSystem(retry_time_limit=give_up_after)
    server = urlsplit(emulator if "//" in emulator else f"http://{emulator}")
    return fs.GcsFileSystem(
        anonymous=True,
        endpoint_override=server.netloc,
        scheme=server.scheme,
        retry_time_limit=give_up_after,
    )


def _open_s3(give_up_after: timedelta) -> fs.FileSystem:
    """Opens Amazon's S3, or by path style another server's."""
    endpoint = s3_endpoint()
    server = urlsplit(endpoint if "//" in endpoint else f"https://{endpoint}")
    seconds = give_up_after.total_seconds() / S3_ATTEMPTS
    return fs.S3FileSystem(
        region=s3_region() or None,
        endpoint_override=server.netloc or None,
        scheme=server.scheme,
        connect_timeout=seconds,
        request_timeout=seconds,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=S3_ATTEMPTS),
    )


def explain_bucket(error: OSError) -> str:
    """Says what a bucket, or the system, had against a request: why, and what to do."""
    if found := _S3_ERROR.search(str(error)):
        advice = _S3_ADVICE.get(found[1], "see --debug")
        return f"S3 answers {found[1]} to {found[2]}; {advice}"
    return explain(error)


def scheme_of(filesystem: fs.FileSystem) -> str:
    """Returns how addresses of a file system begin; empty on disk."""
    while isinstance(filesystem, fs.SubTreeFileSystem):
        filesystem = filesystem.base_fs
    return _SCHEMES.get(filesystem.type_name, "")


def is_bucket(filesystem: fs.FileSystem) -> bool:
    """Whether files lie in a bucket, where there are no directories to make."""
    return scheme_of(filesystem) != ""
