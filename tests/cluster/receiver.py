"""A webhook of the test's own, on this machine."""

import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.json_server import Request, serve_json


@dataclass
class Receiver:
    """What runs have told the webhook."""

    address: str = ""  # as pods are to reach it
    named: bool = False  # by who started the test, and not guessed
    texts: dict[str, str] = field(default_factory=dict)  # by the path's last part
    arrived: threading.Condition = field(default_factory=threading.Condition)
    secret: str = field(default_factory=lambda: secrets.token_hex(8))

    def webhook(self, name: str) -> str:
        """Returns the webhook of a run."""
        return f"{self.address}/{self.secret}/{name}" if self.address else ""

    def text(self, name: str, seconds: float) -> str:
        """Returns what a run has told, waiting for it; empty where nothing came."""
        end = time.monotonic() + seconds
        with self.arrived:
            while name not in self.texts and (left := end - time.monotonic()) > 0:
                self.arrived.wait(left)
            return self.texts.get(name, "")

    def answer(self, request: Request) -> tuple[int, object]:
        """Takes a message."""
        _, secret, name = f"{request.path}//".split("/")[:3]
        if request.method != "POST" or secret != self.secret:
            return 404, {}
        with self.arrived:
            self.texts[name] = str(json.loads(json.dumps(request.body))["text"])
            self.arrived.notify_all()
        return 200, {}


@contextmanager
def receiving(listen: str, cluster: str) -> Iterator[Receiver]:
    """Listens for what summaries say.

    Args:
        listen: This machine's address for pods, as ``10.0.0.5:8099``; empty: the one that this
            machine reaches the cluster from.
        cluster: The cluster's address.
    """
    host, _, port = listen.partition(":")
    receiver = Receiver(named=bool(listen))
    host = host or _own_address(cluster)
    with serve_json(receiver.answer, host=host, port=int(port or 0)) as receiver.address:
        yield receiver


def _own_address(cluster: str) -> str:
    """Returns the address that this machine has on its way to the cluster; no packet is sent."""
    parts = urlsplit(cluster)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        try:
            route.connect((parts.hostname or "127.0.0.1", parts.port or 80))
            return str(route.getsockname()[0])
        except OSError:
            return "127.0.0.1"
