"""Which storage a registry's address names."""

import re
from pathlib import Path

from components.registry.local_storage import LocalStorage
from components.registry.storage import Storage, checked_name
from components.shared.errors import StepError


def open_storage(destination: str, model_name: str) -> Storage:
    """Opens the storage of a model.

    Args:
        destination: A directory, or ``gs://bucket`` or ``gs://bucket/prefix``.
        model_name: The model's name, one path component.

    Raises:
        StepError: Destination or name are not of this form.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", model_name):
        raise StepError(
            f"model name {model_name!r}: expected letters, digits, '_' and '-', a letter or digit "
            "first"
        )
    if destination.startswith("gs://"):
        from components.registry.gcs_storage import GcsStorage  # its import takes long

        bucket, _, prefix = destination.removeprefix("gs://").rstrip("/").partition("/")
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", bucket):
            raise StepError(f"{destination!r}: expected gs://bucket or gs://bucket/prefix")
        return GcsStorage(bucket, checked_name(f"{prefix}/{model_name}" if prefix else model_name))
    if "://" in destination:
        scheme = destination.partition("://")[0]
        raise StepError(f"{destination!r}: {scheme}:// is not known, name a directory or gs://")
    if not destination or "\0" in destination:
        raise StepError(f"destination {destination!r}: expected a directory or gs://bucket")
    try:
        return LocalStorage(Path(destination).expanduser() / model_name)
    except RuntimeError:
        raise StepError(f"{destination!r}: whose home directory '~' is, is not known") from None
