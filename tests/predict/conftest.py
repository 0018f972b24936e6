"""What the tests of predict share with those of ingest, whose sources it has."""

from tests.ingest.conftest import fake_bucket, serve

__all__ = ["fake_bucket", "serve"]
