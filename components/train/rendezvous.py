"""Waiting for the other workers before TensorFlow does; without TensorFlow.

Its own wait cannot be given a deadline or interrupted, and does not tell who is missing.
"""

import socket
import threading
import time
from contextlib import ExitStack

from components.shared.errors import StepError
from components.train.cluster import Cluster

RETRY = 0.2  # seconds between two attempts to reach a worker


def meet(cluster: Cluster, timeout: float) -> None:
    """Returns once every worker has reached this one and been reached by it.

    Args:
        cluster: This worker listens on its own address meanwhile, and on no longer afterwards.
        timeout: Seconds.

    Raises:
        StepError: A worker did not appear in time; names it.
    """
    end = time.monotonic() + timeout
    others = [worker for worker in cluster.workers if worker != cluster.workers[cluster.index]]
    seen: set[str] = set()
    changed = threading.Condition()

    def listen(server: socket.socket) -> None:
        while len(seen) < len(others):
            try:
                connection, _ = server.accept()
            except OSError:  # closed: the time is over
                return
            with connection:
                name = connection.makefile().readline().strip()
            with changed:
                seen.update({name} & set(others))
                changed.notify()

    port = int(cluster.workers[cluster.index].rpartition(":")[2])
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("", port), backlog=len(cluster.workers)))
        threading.Thread(target=listen, args=(server,), daemon=True).start()
        absent = [worker for worker in others if not _greet(worker, cluster, end)]
        with changed:
            changed.wait_for(
                lambda: len(seen) == len(others), timeout=max(0.0, end - time.monotonic())
            )
        absent += [worker for worker in others if worker not in seen and worker not in absent]
    if absent:
        raise StepError(
            f"worker {', '.join(absent)} did not appear within {timeout:g} s (--worker-timeout)"
        )


def _greet(worker: str, cluster: Cluster, end: float) -> bool:
    """Tells a worker that this one is there; returns whether that came through in time."""
    host, _, port = worker.rpartition(":")
    while (left := end - time.monotonic()) > 0:
        try:
            with socket.create_connection((host, int(port)), timeout=left) as connection:
                connection.sendall(f"{cluster.workers[cluster.index]}\n".encode())
                return True
        except OSError:
            time.sleep(min(RETRY, left))
    return False
