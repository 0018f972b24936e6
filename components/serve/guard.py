"""Who may ask: no page of another site, by its own name or by one that it points here.

Any page that a browser shows can send requests to this machine. They carry its origin; or, where
the page's own name was made to lead here (DNS rebinding), that name as the host.
"""

import ipaddress
import re
import socket
import sys
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.shared.errors import printable

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Middleware that refuses other sites, and keeps the server up whatever goes wrong behind it.

    Args:
        app: The application.
        names: The names of this server, beside its addresses and ``localhost``.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = {"localhost", socket.gethostname().lower(), *map(str.lower, names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_on(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                own = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *own]}
            await send(message)

        try:
            refused = self._refused(Headers(scope=scope))
            await (refused or self._app)(scope, receive, send_on)
        except ClientDisconnect:
            return  # whoever asked has left: there is nobody to tell
        except Exception as error:  # noqa: BLE001 - one request's fault is not the server's end
            problem = printable(f"{type(error).__name__}: {error}")[:200]
            print(f"error: {scope['method']} {scope['path'][:100]!r}: {problem}", file=sys.stderr)
            if not started:
                await _refuse(500, "internal error; see the server's log")(scope, receive, send_on)

    def _refused(self, headers: Headers) -> JSONResponse | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_here(host):
            return _refuse(400, "not a host name of this server; add it with --allowed-hosts")
        if origin is not None and not _is_of(origin, host):
            return _refuse(403, "requests from another site's pages are not answered")
        return None

    def _is_here(self, host: str) -> bool:
        found = re.fullmatch(r"(?:\[([^]@]*)\]|([^]:@/[]*))(?::\d*)?", host)
        name = (found[1] or found[2] or "").lower().removesuffix(".") if found else ""
        # An address leads where it says, so that no site can pass it off as its own name.
        return name in self._names or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_of(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _refuse(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"error": reason}, status)
