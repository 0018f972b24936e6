"""What one client may take: bytes, time and connections, so that none keeps the others out.

A packed body counts by what comes out of it.

uvicorn closes a connection that is silent after an answer, but waits for ever for a request that
was begun.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

BODY_SECONDS = 20.0  # for a whole body
BODIES = 16  # times the largest one: what is held of all requests at a time
MAX_CONNECTIONS = 256  # one more takes the place of the one that has waited longest
BACKLOG = 128  # connections that the system accepts while this process is busy
HEAD_SECONDS = 10.0  # from the connection, or the last answer, to the end of a request's head
REQUEST_SECONDS = 60.0  # from there to the end of the answer


class Bodies:
    """What is held of the requests that are being answered.

    Args:
        max_bytes: Largest body that is read.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Yields a request's body, which counts as held as long as the block lasts.

        Raises:
            HTTPException: It is too large or too slow, it cannot be unpacked, or there are too
                many at a time.
        """
        body = bytearray()
        try:
            await self._fill(body, request)
            yield bytes(body)
        finally:
            self._held -= len(body)

    async def _fill(self, body: bytearray, request: Request) -> None:
        unpack = _Unpacking(request.headers.get("content-encoding", "identity").strip().lower())
        received = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for packed in request.stream():
                    chunk = unpack(packed, self._max_bytes + 1 - len(body))
                    body += chunk
                    self._held += len(chunk)
                    received += len(packed)
                    if max(len(body), received) > self._max_bytes:
                        limit = f"{self._max_bytes:,} bytes"
                        raise HTTPException(413, f"the request is larger than {limit}")
                    if self._held > BODIES * self._max_bytes:
                        raise HTTPException(503, "too many requests at a time; try again")
        except TimeoutError:
            raise HTTPException(408, f"the request took longer than {BODY_SECONDS:g} s") from None
        unpack.check_end()


class _Unpacking:
    """Unpacks a body as it comes in, no further than is allowed.

    Args:
        encoding: Of the whole body, as the header Content-Encoding says.

    Raises:
        HTTPException: It is not one of these.
    """

    def __init__(self, encoding: str) -> None:
        if encoding not in ("identity", "gzip", "x-gzip"):
            raise HTTPException(
                415, f"Content-Encoding {encoding[:40]!r} is not known, expected gzip or none"
            )
        self._gzip = None if encoding == "identity" else zlib.decompressobj(16 + zlib.MAX_WBITS)

    def __call__(self, packed: bytes, most: int) -> bytes:
        """Returns at most so many bytes of what a chunk holds."""
        if self._gzip is None:
            return packed
        try:
            return self._gzip.decompress(packed, most)
        except zlib.error:
            raise HTTPException(400, "the request is not in gzip format") from None

    def check_end(self) -> None:
        """Sees that nothing is missing and nothing follows."""
        if self._gzip and (not self._gzip.eof or self._gzip.unused_data):
            raise HTTPException(400, "the request is not one whole gzip stream")


class BoundedConnection(H11Protocol):
    """A connection that is given up where its client is slow or leaves others no room."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a connection in."""
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._expect(HEAD_SECONDS)
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()

    def handle_events(self) -> None:
        """Gives a request whose head is through its own time."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and not self.cycle.response_complete:
            self._expect(REQUEST_SECONDS)

    def on_response_complete(self) -> None:
        """Waits for the next request."""
        self._expect(HEAD_SECONDS)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets a connection."""
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def _expect(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        self.since = self.loop.time()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    @property
    def _is_working(self) -> bool:
        """Whether a request came in whole and its answer is not through."""
        cycle = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def _make_room(self) -> None:
        others: list[Any] = [each for each in self.connections if each is not self]
        waiting = [each for each in others if not each._is_working]
        longest = min(waiting, key=lambda each: each.since, default=self)
        longest.transport.abort()
        self.connections.discard(longest)
