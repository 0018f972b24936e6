"""A real fake-gcs-server for the tests, and a proxy before it that breaks what it is told to."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent


class Fault(NamedTuple):
    """What the proxy does in place of answering."""

    status: int = 0  # answers with this status; 0: cuts the connection
    after: bool = False  # lets the request through first, so that only its answer is lost


Rule = Callable[[str, str], Fault | None]  # by method and path with query


def find_server() -> str | None:
    """Returns the path of the server that ``make fake-gcs-server`` installs."""
    return shutil.which("fake-gcs-server", path=f"{ROOT / 'build' / 'bin'}:{os.environ['PATH']}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def running_server(executable: str) -> Iterator[str]:
    """Starts the server and yields its address."""
    port = free_port()
    command = [executable, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    command += ["-backend", "memory", "-log-level", "error"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
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
    raise RuntimeError(f"fake-gcs-server ended with {server.returncode}")


def make_bucket(address: str, name: str) -> None:
    request = urllib.request.Request(
        f"{address}/storage/v1/b?project=test",
        data=json.dumps({"name": name}).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request).close()


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

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _handle  # noqa: N815

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
        connection.request(request.command, request.path, body, dict(request.headers))
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
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)


def objects(address: str, bucket: str) -> dict[str, bytes]:
    """Returns the content of every object of a bucket, by name, past any proxy."""
    found: dict[str, bytes] = {}
    listing = urllib.request.urlopen(f"{address}/storage/v1/b/{bucket}/o").read()
    for item in json.loads(listing).get("items", []):
        name = urllib.request.quote(item["name"], safe="")  # type: ignore[attr-defined]
        try:
            url = f"{address}/storage/v1/b/{bucket}/o/{name}?alt=media"
            found[item["name"]] = urllib.request.urlopen(url).read()
        except urllib.error.HTTPError:
            continue  # removed meanwhile
    return found
