"""What the tests of push share with those of the registry that it publishes to."""

from tests.registry.conftest import bucket, destination, gcs_server, make_release, registry

__all__ = ["bucket", "destination", "gcs_server", "make_release", "registry"]
