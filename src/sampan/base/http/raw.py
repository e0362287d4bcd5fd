"""Bytes that arrive and leave with back-pressure: bodies as they come, and whole connections after an upgrade."""

from __future__ import annotations

import asyncio
from collections import deque

_HIGH = 256 * 1024


class Inbox:
    """Bytes from a transport, for one reader. Reading from the peer stops while much is waiting here."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._received: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises ConnectionError when the peer broke off."""
        while not self._received:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        data = b"".join(self._received)
        self._received.clear()
        if self._size >= _HIGH and not self._transport.is_closing():
            self._transport.resume_reading()
        self._size = 0
        return data

    @property
    def empty(self) -> bool:
        return not self._received

    # Called by the protocol that owns the transport.

    def feed(self, data: bytes) -> None:
        self._received.append(data)
        was, self._size = self._size, self._size + len(data)
        if was < _HIGH <= self._size:
            self._transport.pause_reading()
        self._wake()

    def feed_end(self, error: Exception | None = None) -> None:
        if not self._ended:
            self._ended, self._error = True, error
            self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class RawConnection(Inbox):
    """The `Raw` of `types.py` over a transport, whose protocol feeds it and tells it of pauses and of the end."""

    def __init__(self, transport: asyncio.Transport, leftover: bytes = b"") -> None:
        super().__init__(transport)
        self._drained: asyncio.Future[None] | None = None
        if leftover:
            self.feed(leftover)

    async def write(self, data: bytes) -> None:
        """Send; waits while the peer reads too slowly. Raises ConnectionError when it is gone."""
        if self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._transport.write(data)
        if self._drained is not None:
            await asyncio.shield(self._drained)

    def close(self) -> None:
        """Send what is still waiting, then close."""
        self._transport.close()

    def abort(self) -> None:
        """Close now, whatever is still waiting."""
        self._transport.abort()

    def pause(self) -> None:
        self._drained = asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def lost(self) -> None:
        self.feed_end()
        self.resume()
