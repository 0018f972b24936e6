"""Which storage a registry's address names."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

from components.registry.bucket_storage import Bucket, BucketStorage, RetryingBucket
from components.registry.local_storage import LocalStorage
from components.registry.storage import Storage, checked_name
from components.shared.addresses import redacted
from components.shared.errors import StepError


def _google(bucket: str, prefix: str) -> Bucket:
    from components.registry.gcs_bucket import GcsBucket  # its import takes long

    return GcsBucket(bucket, prefix)


def _amazon(bucket: str, prefix: str) -> Bucket:
    try:
        from components.registry.s3_bucket import S3Bucket
    except ModuleNotFoundError as error:
        raise StepError(
            f"a registry on s3:// needs {error.name}, which is not installed; run: pip install "
            "boto3"
        ) from None
    return S3Bucket(bucket, prefix)


# What opens a bucket, by the scheme of its address: its name, and where the model lies in it.
BUCKETS: dict[str, Callable[[str, str], Bucket]] = {"gs": _google, "s3": _amazon}


def open_storage(destination: str, model_name: str) -> Storage:
    """Opens the storage of a model.

    Args:
        destination: A directory, or ``gs://bucket`` or ``s3://bucket``, with a prefix or without.
        model_name: The model's name, one path component.

    Raises:
        StepError: Destination or name are not of this form.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", model_name):
        raise StepError(
            f"model name {model_name!r}: expected letters, digits, '_' and '-', a letter or digit "
            "first"
        )
    scheme, separator, rest = destination.partition("://")
    known = " or ".join(["a directory", *(f"{scheme}://" for scheme in BUCKETS)])
    if separator:
        if scheme not in BUCKETS:
            raise StepError(f"{redacted(destination)!r}: {scheme}:// is not known, name {known}")
        bucket, _, prefix = rest.rstrip("/").partition("/")
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", bucket):
            raise StepError(
                f"{redacted(destination)!r}: expected {scheme}://bucket or {scheme}://bucket/prefix"
            )
        prefix = f"{prefix}/{model_name}" if prefix else model_name
        opened = BUCKETS[scheme](bucket, checked_name(prefix))
        return BucketStorage(cast(Bucket, RetryingBucket(opened)))
    if not destination or "\0" in destination:
        raise StepError(f"destination {destination!r}: expected {known}")
    try:
        return LocalStorage(Path(destination).expanduser() / model_name)
    except RuntimeError:
        raise StepError(
            f"{destination!r}: this user's home directory is not known; name a full path"
        ) from None
