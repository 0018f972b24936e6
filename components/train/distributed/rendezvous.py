"""Waiting for the other workers before TensorFlow does; without TensorFlow.

Its own wait cannot be given a deadline or interrupted, and does not say who is missing.

Each worker listens on its own address and greets all others with a line: its name and, where the
launcher gave the job a token, a proof that it knows it, good for this one greeting. Whoever gets a
greeting of this job says "ok". Anything else that connects is let go, and keeps nobody waiting.
"""

import hashlib
import hmac
import os
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from components.shared.environment import RENDEZVOUS_TOKEN
from components.shared.errors import StepError
from components.train.distributed.cluster import Cluster, split_address

RETRY = 0.2  # seconds between two attempts to reach a worker
SECONDS = 5.0  # for a client to say something
LINE = 1_024  # bytes of a greeting at most
CLIENTS = 200  # at a time
OK = b"ok\n"


def meet(cluster: Cluster, timeout: float) -> None:
    """Returns once every worker has reached this one and been reached by it.

    Args:
        cluster: This worker listens on its own address meanwhile, and on no longer afterwards.
        timeout: Seconds.

    Raises:
        StepError: A worker did not appear in time; names it.
    """
    end = time.monotonic() + timeout
    own = cluster.workers[cluster.index]
    others = [worker for worker in cluster.workers if worker != own]
    with _listening(own, others) as listener, ThreadPoolExecutor(len(others)) as pool:
        # All at once: one that is absent takes the whole time, and no other is to pay for it.
        said = dict(zip(others, pool.map(lambda to: _greet(own, to, end), others), strict=True))
        listener.wait(end)
        seen = listener.seen
    strange = [worker for worker in others if said[worker] is False]
    if strange:
        raise StepError(
            f"worker {', '.join(strange)} does not answer as a worker of this job: something else "
            f"listens there, or its {RENDEZVOUS_TOKEN} is another"
        )
    absent = [worker for worker in others if not said[worker] or worker not in seen]
    if absent:
        raise StepError(
            f"worker {', '.join(absent)} did not appear within {timeout:g} s (--worker-timeout)"
        )


def _greeting(sender: str, receiver: str) -> bytes:
    """Returns the line by which a worker greets another."""
    token = os.environ.get(RENDEZVOUS_TOKEN, "")
    proof = hmac.new(token.encode(), f"{sender} {receiver}".encode(), hashlib.sha256).hexdigest()
    return f"{sender} {proof}\n".encode()


def _greet(own: str, other: str, end: float) -> bool | None:
    """Tells a worker that this one is there.

    Returns:
        Whether it said ok; None where nobody listened till the end.
    """
    answered = None
    while (left := end - time.monotonic()) > 0:
        try:
            with socket.create_connection(split_address(other), min(left, SECONDS)) as connection:
                connection.sendall(_greeting(own, other))
                if connection.makefile("rb").readline(len(OK)) == OK:
                    return True
                answered = False
        except OSError:
            pass
        time.sleep(min(RETRY, max(0.0, end - time.monotonic())))
    return answered


class _Listener(socketserver.ThreadingTCPServer):
    """Takes the others' greetings, each client in a thread of its own."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = CLIENTS

    def __init__(self, own: str, others: list[str]) -> None:
        self._greetings = {_greeting(other, own): other for other in others}
        self._changed = threading.Condition()
        self._clients: set[Any] = set()
        self.seen: set[str] = set()
        host, port = split_address(own)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__(("", port), _Handler)

    def sender(self, line: bytes) -> str | None:
        """Returns which worker's greeting a line is."""
        return self._greetings.get(line)

    def saw(self, worker: str) -> None:
        """Takes note of a worker that has got its ok."""
        with self._changed:
            self.seen.add(worker)
            self._changed.notify()

    def wait(self, end: float) -> None:
        """Returns once all have greeted this worker, or the time is over."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self.seen) == len(self._greetings), max(0.0, end - time.monotonic())
            )

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Lets no more in than there is room for."""
        self._clients.add(request)
        return len(self._clients) <= CLIENTS

    def shutdown_request(self, request: Any) -> None:
        """Forgets a client."""
        self._clients.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: what a client did wrong, or that it left, is no concern of this worker."""

    def let_go(self) -> None:
        """Parts with those that have not said anything yet, so that the port is free again."""
        for client in list(self._clients):
            self.shutdown_request(client)


class _Handler(socketserver.StreamRequestHandler):
    timeout = SECONDS

    def handle(self) -> None:
        assert isinstance(self.server, _Listener)
        worker = self.server.sender(self.rfile.readline(LINE))
        if worker:
            self.wfile.write(OK)
            self.server.saw(worker)


@contextmanager
def _listening(own: str, others: list[str]) -> Iterator[_Listener]:
    try:
        listener = _Listener(own, others)
    except OSError as error:
        raise StepError(
            f"worker {own}: cannot listen on its own port: {error.strerror or error}; stop what "
            "does, or change TF_CONFIG"
        ) from None
    with listener:
        threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield listener
        finally:
            listener.shutdown()
            listener.let_go()
