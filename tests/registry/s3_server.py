"""Real S3 servers for the tests: versitygw, and where S3_SERVER says so SeaweedFS."""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tests.registry.fault_proxy import running_server
from tests.services import program

ACCESS_KEY, SECRET_KEY = "tests", "of-tests-alone"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


def s3_server(scratch: Path) -> AbstractContextManager[str]:
    """Runs a server with its files in a directory."""
    run = {"versitygw": _versitygw, "seaweedfs": _seaweedfs}
    return run[os.environ.get("S3_SERVER", "versitygw")](scratch)


def _versitygw(scratch: Path) -> AbstractContextManager[str]:
    # Not with --sidecar, which registry check finds out: metadata apart from the data are no longer
    # replaced in one step with it, and of two writers at once both may succeed.
    return running_server(
        *(program("versitygw", "versitygw"), "--port", "127.0.0.1:{port}", "--quiet"),
        *("--access", ACCESS_KEY, "--secret", SECRET_KEY, "posix", scratch),
    )


@contextmanager
def _seaweedfs(scratch: Path) -> Iterator[str]:
    with running_server(
        *(program("weed", "seaweedfs"), "mini", "-dir", scratch, "-ip", "127.0.0.1"),
        *("-s3.port", "{port}", "-s3.port.iceberg", "0", "-s3.port.lance", "0"),
        # A bucket takes a volume at least, and there are as many as have room on the disk.
        *("-master.volumeSizeLimitMB", "32"),
        *("-master.telemetry=false", "-admin.ui=false", "-admin.port.legacy=0", "-webdav=false"),
        env=os.environ | CREDENTIALS,
    ) as address:
        while True:  # it listens before it answers
            with suppress(ClientError, BotoCoreError):
                make_bucket(address, "first")
                break
            time.sleep(0.1)
        yield address


def make_bucket(address: str, name: str) -> None:
    boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    ).create_bucket(Bucket=name)
