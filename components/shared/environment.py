"""The environment variables by which a runner gives a step what is not a pipeline parameter.

Parameters are part of a cluster's cache key: with a run's own name among them, no step would ever
be found in the cache.
"""

import os
import sys
from pathlib import Path

COMMIT = "PIPELINE_COMMIT"  # which code this is, where git is not: in an image
RUN_ID = "RUN_ID"  # which run a step belongs to, where that is known
RUN_PAGE = "RUN_PAGE"  # the run's page, seen from a page in a step's output
RUN_INDEX = "index.html"  # in a local run's directory, that page
OUTCOMES = "RUN_OUTCOMES"  # the directory for the steps' outcomes, on this machine
RUN_VOLUME = "RUN_VOLUME"  # the mounted volume
TRAINJOB_SETTINGS = "TRAINJOB_SETTINGS"  # how to train on several nodes, as JSON
RENDEZVOUS_TOKEN = "RENDEZVOUS_TOKEN"  # by which the workers of one job know each other
EARLIER = "EARLIER_DATASET"  # one that ingest may take instead of making it again
COMPILED_LOOPS = "COMPILED_LOOPS"  # where training keeps compiled loops; empty: nowhere
RETRAINED = "RETRAINED"  # a training that an alarm started here within the pause; empty: none
FORKABLE = "TENSORFLOW_IS_UNUSED"  # this process has imported TensorFlow, and not used it yet
KFP_RUNTIME = "_KFP_RUNTIME"  # KFP's own: "true" in a step, where kfp imports little
WEBHOOK = "SUMMARY_WEBHOOK"  # from a secret: a parameter is there for all to see
HEARTBEAT = "SUMMARY_HEARTBEAT"  # likewise
# By these Amazon's own clients find credentials, server and region; not each of them knows all.
S3_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
S3_ENDPOINT = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
S3_REGION = ("AWS_REGION", "AWS_DEFAULT_REGION")
IN_CLUSTER = "KUBERNETES_SERVICE_HOST"  # Kubernetes sets it in every pod


def trains_with_onednn(network: str) -> bool:
    """Whether a network, as ``--network`` names it, may have convolutions: any other than mlp.

    They are faster with oneDNN. What XLA compiles does not use it, and mlp's evaluations stay the
    same to the last digit on more kinds of CPU without.
    """
    return network != "mlp"


def choose_kernels(network: str) -> None:
    """Switches oneDNN on where a network trains with it, unless TensorFlow is imported already."""
    if trains_with_onednn(network) and "tensorflow" not in sys.modules:
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"


def run_directory(step: str) -> str:
    """Returns, within a step, the directory that every attempt of this run finds; "" if none."""
    volume, run = os.environ.get(RUN_VOLUME), os.environ.get(RUN_ID)
    return str(Path(volume) / run / step) if volume and run else ""


def s3_endpoint() -> str:
    """Returns the address of the server behind ``s3://``; "" for Amazon's own."""
    return _first(S3_ENDPOINT)


def s3_region() -> str:
    """Returns the region of ``s3://``, which other servers want named too; "" if none is set."""
    return _first(S3_REGION) or ("us-east-1" if s3_endpoint() else "")


def _first(names: tuple[str, ...]) -> str:
    return next(filter(None, map(os.environ.get, names)), "")
