"""A JSON API over real HTTP, for the tests of what talks to one."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit


class Request(NamedTuple):
    """What was asked."""

    method: str
    path: str
    query: dict[str, str]
    body: Any  # from JSON; bytes of another type with its head; None where there was none
    authorization: str | None


@contextmanager
def serve_json(
    answer: Callable[[Request], tuple[int, Any]],
    certificate: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> Iterator[str]:
    """Serves an API and yields its address.

    Args:
        answer: Gives status and body; a body that is a string is sent as plain text.
        certificate: With its key, for https; None is http.
        host: The address to listen at.
        port: The port; 0 is a free one.
    """

    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) or None
            kind = self.headers.get("Content-Type", "")
            if body and kind.startswith("multipart/"):
                body = f"Content-Type: {kind}\r\n\r\n".encode() + body
            elif body:
                body = json.loads(body)
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            status, said = answer(
                Request(self.command, parts.path, query, body, self.headers["Authorization"])
            )
            plain = isinstance(said, str)
            data = (said if plain else json.dumps(said)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if plain else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = handle_request  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer((host, port), Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http{'s' if certificate else ''}://{host}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
