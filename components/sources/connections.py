"""What a web server answers, within a bound on all that comes before the first byte of a body."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter

CONNECT_TIMEOUT, READ_TIMEOUT = 10, 60  # seconds


def ask(
    method: str, address: str, headers: Mapping[str, str], patience: float = READ_TIMEOUT
) -> requests.Response:
    """Asks a server, and returns once the headers of its answer are there; the body is to be read.

    Args:
        method: Of HTTP.
        address: ``https://`` or ``http://``.
        headers: Of the request.
        patience: Seconds for which the server may be silent. Its headers, redirects among them,
            take twice that at most: who sends a byte now and then is never silent.

    Raises:
        requests.RequestException: There is no answer, or none in time.
    """
    connections = _Connections()
    with requests.Session() as session, connections.cut_after(2 * patience):
        for scheme in ("https://", "http://"):
            session.mount(scheme, connections)
        timeout = min(CONNECT_TIMEOUT, patience), patience
        return session.request(method, address, headers=headers, stream=True, timeout=timeout)


class _Connections(HTTPAdapter):
    def __init__(self) -> None:
        super().__init__()
        self._made: list[Any] = []  # urllib3's connections

    def get_connection_with_tls_context(self, *args: Any, **named: Any) -> Any:
        """Remembers what is made by requests' own."""
        pool = super().get_connection_with_tls_context(*args, **named)
        make = type(pool).ConnectionCls

        def connection(**options: Any) -> Any:
            self._made.append(make(**options))
            return self._made[-1]

        pool.ConnectionCls = connection
        return pool

    @contextmanager
    def cut_after(self, seconds: float) -> Iterator[None]:
        """Cuts the connections where the block takes longer; it then ends with a timeout."""
        done, late = threading.Event(), threading.Event()

        def watch() -> None:
            pause = seconds
            while not done.wait(pause):
                late.set()
                self._cut()
                pause = 0.1  # a redirect may be on its way to another server

        threading.Thread(target=watch, daemon=True).start()
        try:
            yield
        except requests.RequestException:
            if not late.is_set():
                raise
        finally:
            done.set()
        # Headers that are cut look like headers that end.
        if late.is_set():
            raise requests.Timeout(f"no whole answer within {seconds:g} seconds")

    def _cut(self) -> None:
        for connection in list(self._made):
            with suppress(OSError, AttributeError):  # closed meanwhile, or not open yet
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
