"""exec and attach over WebSocket: channels v4.channel.k8s.io and v5.channel.k8s.io.

A message's first byte is its channel: 0 stdin, 1 stdout, 2 stderr, 3 the Status that ends the session, 4 the
terminal's size; in v5 255 closes the channel named by the next byte.
Source: https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
"""

from __future__ import annotations

from typing import Protocol

import orjson

from sampan.api.meta import Obj
from sampan.node.streams import CLOSE, ERROR, RESIZE, STDIN, STDOUT, Wanted

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")


class Socket(Protocol):
    """The part of base.http's WebSocket that is used."""

    protocol: str

    async def receive(self) -> bytes | str | None: ...
    async def send(self, data: bytes) -> None: ...
    async def ping(self) -> None: ...


class WebSocketChannels:
    """The `Client` of streams.py over a WebSocket; `asked` is what the client asked for."""

    def __init__(self, socket: Socket, asked: Wanted) -> None:
        self._socket, self._asked = socket, asked

    async def open(self) -> None:
        """An empty message tells the client that the streams stand."""
        await self._socket.send(bytes([STDOUT if self._asked.stdout else ERROR]))

    async def receive(self) -> tuple[int, bytes] | None:
        while (message := await self._socket.receive()) is not None:
            data = message.encode() if isinstance(message, str) else message
            channel, content = data[:1], data[1:]
            if channel in (bytes([STDIN]), bytes([RESIZE])):
                return channel[0], content
            if channel == bytes([CLOSE]) and content[:1] == bytes([STDIN]) and self._socket.protocol == PROTOCOLS[0]:
                return CLOSE, b""
        return None

    async def send(self, channel: int, data: bytes) -> None:
        await self._socket.send(bytes([channel]) + data)

    async def finish(self, status: Obj) -> None:
        await self.send(ERROR, orjson.dumps(status))

    async def ping(self) -> None:
        await self._socket.ping()
