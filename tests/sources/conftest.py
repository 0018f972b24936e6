"""What the tests of sources share with those of ingest, through which most of them read."""

from tests.ingest.conftest import make_bucket, make_gs_bucket, make_s3_bucket, serve

__all__ = ["make_bucket", "make_gs_bucket", "make_s3_bucket", "serve"]
