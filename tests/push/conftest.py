"""What the tests of push share with those of the registry that it publishes to."""

from tests.registry.conftest import bucket, destination, gs, make_release, registry, s3

__all__ = ["bucket", "destination", "gs", "make_release", "registry", "s3"]
