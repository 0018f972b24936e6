"""What the tests of predict share with those of ingest, whose sources it has."""

from tests.ingest.conftest import make_bucket, make_gs_bucket, make_s3_bucket, serve

__all__ = ["make_bucket", "make_gs_bucket", "make_s3_bucket", "serve"]
