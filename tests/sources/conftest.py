"""What the tests of sources share with those of ingest, through which most of them read."""

from tests.ingest.conftest import fake_bucket, serve

__all__ = ["fake_bucket", "serve"]
