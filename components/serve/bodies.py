"""Reading requests' bodies: no more of each than is allowed, nor of all together, nor for long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.exceptions import HTTPException
from starlette.requests import Request

SECONDS = 20.0  # for a whole body
TOGETHER = 16  # times the largest one: what is held of all requests at a time


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
            HTTPException: It is too large or too slow, or there are too many at a time.
        """
        body = bytearray()
        try:
            await self._fill(body, request)
            yield bytes(body)
        finally:
            self._held -= len(body)

    async def _fill(self, body: bytearray, request: Request) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                async for chunk in request.stream():
                    body += chunk
                    self._held += len(chunk)
                    if len(body) > self._max_bytes:
                        told = f"the request is larger than {self._max_bytes:,} bytes"
                        raise HTTPException(413, told)
                    if self._held > TOGETHER * self._max_bytes:
                        raise HTTPException(503, "too many requests at a time; try again")
        except TimeoutError:
            raise HTTPException(408, f"the request took longer than {SECONDS:g} s") from None
