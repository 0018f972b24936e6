"""What a run computes on: one device, the GPUs of one machine, or several workers."""

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tensorflow as tf

from components.train.cluster import Cluster


def open_strategy(cluster: Cluster, timeout: float) -> tf.distribute.Strategy:
    """Chooses the strategy by what there is.

    Args:
        cluster: With several workers, all must appear within the timeout.
        timeout: Seconds.

    Returns:
        MultiWorkerMirroredStrategy for several workers, MirroredStrategy for several GPUs, else
        the default strategy, which is one device.
    """
    if cluster.size > 1:
        with deadline(timeout, lambda: _missing(cluster)):
            return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


@contextmanager
def deadline(seconds: float, reason: Callable[[], str]) -> Iterator[None]:
    """Ends the process with exit code 1 if the block takes longer.

    A collective operation that waits for a lost worker cannot be interrupted from Python.

    Args:
        seconds: The deadline.
        reason: Says what is wrong, called once it has passed.
    """

    def give_up() -> None:
        print(f"error: {reason()} within {seconds:g} s (--worker-timeout)", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _missing(cluster: Cluster) -> str:
    absent = [worker for worker in cluster.workers if not _listens(worker)]
    return f"worker {', '.join(absent) or 'unknown'} did not appear"


def _listens(worker: str) -> bool:
    host, _, port = worker.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=2):
            return True
    except OSError:
        return False
