"""How to start a storage server, and a proxy before it that breaks what it is told to."""

import http.client
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Fault(NamedTuple):
    """What the proxy does in place of answering."""

    status: int = 0  # answers with this status; 0: cuts the connection
    after: bool = False  # lets the request through first, so that only its answer is lost


Rule = Callable[[str, str], Fault | None]  # by method and path with query


@contextmanager
def running_server(*command: object, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """Starts a server, of whose command {port} is a free port's number, and yields its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    words = [str(word).format(port=port) for word in command]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(words, stdout=quiet, stderr=quiet, env=env) as server:
        try:
            _await_port(port, server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def _await_port(port: int, server: subprocess.Popen) -> None:
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            threading.Event().wait(0.02)
    raise RuntimeError(f"{server.args!r} ended with {server.returncode}")


class FaultProxy:
    """Forwards requests to a server but for those that a rule breaks.

    Attributes:
        rule: Decides on each request; None lets it through.
        seen: Method and path of every request, with the fault it met.
    """

    def __init__(self, server: str) -> None:
        self.rule: Rule = lambda method, path: None
        self.seen: list[tuple[str, str, Fault | None]] = []
        self._upstream = server.removeprefix("http://")
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                proxy.handle(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = _handle  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        fault = self.rule(request.command, request.path)
        self.seen.append((request.command, request.path, fault))
        length = int(request.headers.get("Content-Length") or 0)
        if fault and not fault.status and not fault.after:
            request.rfile.read(length // 2)  # midway
            self._cut(request)
            return
        body = request.rfile.read(length)
        if fault and fault.status and not fault.after:
            message = {"error": {"code": fault.status, "message": "injected"}}
            self._answer(request, fault.status, {}, json.dumps(message).encode())
            return
        connection = http.client.HTTPConnection(self._upstream, timeout=30)
        headers = {name: value for name, value in request.headers.items() if name != "Expect"}
        connection.request(request.command, request.path, body, headers)
        response = connection.getresponse()
        data = response.read()
        if fault:
            self._cut(request)
        else:
            self._answer(request, response.status, dict(response.getheaders()), data)
        connection.close()

    def _cut(self, request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        request.connection.shutdown(socket.SHUT_RDWR)

    def _answer(
        self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], data: bytes
    ) -> None:
        request.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                request.send_header(name, value)
        length = headers.get("Content-Length", 0) if request.command == "HEAD" else len(data)
        request.send_header("Content-Length", str(length))
        with suppress(ConnectionError):  # a client that has gone, as one that was killed
            request.end_headers()
            request.wfile.write(data)
