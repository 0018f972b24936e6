"""How long a client may take and how many there may be, so that none keeps the others out.

uvicorn closes a connection that is silent after an answer, but waits for ever for a request that
was begun.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 256  # connections at a time; one more takes the place of the one that has waited longest
BACKLOG = 128  # connections that the system accepts while this process is busy
HEAD_SECONDS = 10.0  # from the connection, or the last answer, to the end of a request's head
REQUEST_SECONDS = 60.0  # from there to the end of the answer


class BoundedConnection(H11Protocol):
    """A connection that is given up where its client is slow or leaves others no room."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a connection in."""
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._expect(HEAD_SECONDS)
        if len(self.connections) > MOST:
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
    def _at_work(self) -> bool:
        """Whether a request came in whole and its answer is not through."""
        cycle = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def _make_room(self) -> None:
        others: list[Any] = [each for each in self.connections if each is not self]
        waiting = [each for each in others if not each._at_work]
        longest = min(waiting, key=lambda each: each.since, default=self)
        longest.transport.abort()
        self.connections.discard(longest)
