"""exec and attach over SPDY/3.1: the client opens one stream each for error, stdin, stdout, stderr and resize, told
apart by the header `streamtype`.

Versions of the protocol: v4 ends with a Status on the error stream, earlier ones with the bare text of what went wrong;
since v3 there are sizes. Source: k8s.io/kubelet/pkg/cri/streaming/remotecommand/httpstream.go
"""

from __future__ import annotations

import asyncio
from collections import deque

import orjson

from sampan.api.meta import Obj
from sampan.base.http import spdy
from sampan.base.http.types import Raw
from sampan.node.streams import CLOSE, ERROR, RESIZE, STDERR, STDIN, STDOUT, Wanted

V4 = "v4.channel.k8s.io"
PROTOCOLS = (V4, "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
CREATION_SECONDS = 30.0  # for the client to open its streams
LINGER_SECONDS = 2.0  # for it to take the end and leave first

_CHANNELS = {"error": ERROR, "stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "resize": RESIZE}


class SpdyStreams:
    """The `Client` of streams.py over one SPDY connection.

    `protocol` is one of PROTOCOLS; `asked` is what the client asked for, and so which streams it opens.
    """

    def __init__(self, raw: Raw, protocol: str, asked: Wanted) -> None:
        self._raw, self._protocol = raw, protocol
        self._asked = asked
        self._connection = spdy.Connection()
        self._streams: dict[int, int] = {}  # channel → stream
        self._channels: dict[int, int] = {}  # stream → channel
        self._received: deque[tuple[int, bytes]] = deque()
        self._sizes = b""
        self._pings = 0

    async def open(self) -> None:
        asked = self._asked
        sizes = asked.tty and self._protocol in PROTOCOLS[:2]
        flags = {STDIN: asked.stdin, STDOUT: asked.stdout, STDERR: asked.stderr and not asked.tty, RESIZE: sizes}
        expected = {ERROR} | {channel for channel, wanted in flags.items() if wanted}
        try:
            async with asyncio.timeout(CREATION_SECONDS):
                while not expected <= self._streams.keys():
                    if not await self._take():
                        raise ConnectionResetError("the client left before all streams were open")
        except TimeoutError:
            raise ConnectionAbortedError("timed out waiting for client to create streams") from None

    async def receive(self) -> tuple[int, bytes] | None:
        while not self._received:
            if not await self._take():
                return None
        return self._received.popleft()

    async def send(self, channel: int, data: bytes) -> None:
        stream = self._streams.get(channel)
        if stream is not None:
            await self._raw.write(self._connection.send(stream, data))

    async def finish(self, status: Obj) -> None:
        last = b"" if status["status"] == "Success" else status["message"].encode()
        end = orjson.dumps(status) if self._protocol == V4 else last
        for channel in (STDOUT, STDERR, STDIN, RESIZE, ERROR):
            if channel in self._streams:
                data = end if channel == ERROR else b""
                await self._raw.write(self._connection.send(self._streams[channel], data, fin=True))
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while await self._take():
                    self._received.clear()
        except TimeoutError:
            await self._raw.write(self._connection.go_away(max(self._channels)))

    async def ping(self) -> None:
        self._pings += 2  # a server's are even
        await self._raw.write(self._connection.ping(self._pings))

    async def _take(self) -> bool:
        """Read once and sort what came; False when the client has left or speaks something else."""
        data = await self._raw.read()
        try:
            for event in self._connection.receive(data):
                await self._sort(event)
        except spdy.SpdyError:
            return False
        return bool(data)

    async def _sort(self, event: spdy.Event) -> None:
        if isinstance(event, spdy.Opened):
            await self._opened(event)
        elif isinstance(event, spdy.Ping):
            await self._raw.write(self._connection.ping(event.number))
        elif isinstance(event, spdy.Data):
            channel = self._channels.get(event.stream)
            if channel == STDIN:
                self._received.append((STDIN, event.data))
            elif channel == RESIZE:
                *whole, self._sizes = (self._sizes + event.data)[-4096:].split(b"\n")
                self._received.extend((RESIZE, size) for size in whole)
            if event.fin and channel == STDIN:
                self._received.append((CLOSE, b""))
        elif isinstance(event, spdy.Reset) and self._channels.get(event.stream) == STDIN:
            self._received.append((CLOSE, b""))

    async def _opened(self, event: spdy.Opened) -> None:
        channel = _CHANNELS.get(event.headers.get("streamtype", ""))
        if channel is None or channel in self._streams:
            await self._raw.write(self._connection.reset(event.stream, spdy.REFUSED_STREAM))
            return
        self._streams[channel], self._channels[event.stream] = event.stream, channel
        await self._raw.write(self._connection.accept(event.stream))
        if event.fin and channel == STDIN:
            self._received.append((CLOSE, b""))
