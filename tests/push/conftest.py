"""What the tests of push share with those of the registry that it publishes to."""

import pytest

from tests.registry.conftest import (
    bucket,
    destination,
    forked_validation,
    gs,
    make_release,
    registry,
    s3,
)

__all__ = ["bucket", "destination", "forked_validation", "gs", "make_release", "registry", "s3"]


@pytest.fixture(autouse=True)
def forked(forked_validation: None) -> None:
    """Forks what proves a model."""
