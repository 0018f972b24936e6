"""What a run computes on: one device, the GPUs of one machine, or several workers."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from components.shared.errors import StepError
from components.train.distributed.cluster import Cluster
from components.train.distributed.rendezvous import meet


def open_strategy(cluster: Cluster, timeout: float) -> tf.distribute.Strategy:
    """Chooses the strategy by what there is.

    Args:
        cluster: With several workers, all must appear within the timeout.
        timeout: Seconds.

    Returns:
        MultiWorkerMirroredStrategy for several workers, MirroredStrategy for several GPUs, else
        the default strategy, which is one device.

    Raises:
        StepError: A worker did not appear.
    """
    if cluster.size > 1:
        meet(cluster, timeout)
        os.environ["TF_CONFIG"] = cluster.tf_config  # what was checked is what TensorFlow reads
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


@contextmanager
def together(seconds: float, what: str) -> Iterator[None]:
    """Sees that a block that needs every worker ends, one way or the other.

    A worker that is gone fails the collective operations of the others; one that hangs does not,
    and they cannot be interrupted, so past the deadline the process ends with exit code 1.

    Args:
        seconds: The deadline.
        what: What the block does, for the message.

    Raises:
        StepError: A worker is gone.
    """
    lost = f"a worker was lost: {what} did not end; start all workers again to go on"

    def give_up() -> None:
        print(f"error: {lost} (after {seconds:g} s, --worker-timeout)", file=sys.stderr, flush=True)
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    except tf.errors.OpError:
        raise StepError(lost) from None
    finally:
        timer.cancel()
