"""port-forward: connections to 127.0.0.1:PORT in a pod's network namespace, many over one connection of the client's.

A forward is one connection to a port with two directions of its own, each of which may end before the other.
`SpdyForwards` carries them over SPDY streams: for each the client opens a pair with the same header `requestid`,
`streamtype` error (for the text of what went wrong) and data. Over WebSocket comes either the same, tunnelled
(`Tunnel`), or one forward a port on numbered channels (`ChannelForwards`).
Source: k8s.io/kubelet/pkg/cri/streaming/portforward
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sampan.api.status import bad_request
from sampan.base.errors import SampanError
from sampan.base.http import spdy
from sampan.base.http.types import Raw
from sampan.base.netns import inside
from sampan.base.tasks import Tasks

SPDY_PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
CHANNEL_PROTOCOL = "v4.channel.k8s.io"

CONNECT_SECONDS = 10.0
CHUNK = 1 << 16
# Bytes a forward may have waiting for its pod before the client is read no further (then all its forwards wait).
WAITING = 1 << 20
# Seconds a pod that has said all may still take from a client that goes on sending.
LATE = 5.0

Send = Callable[[bytes], Awaitable[None]]
Dial = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


def dialer(network: Path, pod: str) -> Dial:
    """`network` is the pod's pinned namespace. The dialer raises SampanError with the text the client is shown."""

    async def dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reasons = []
        for family, name, address in ((socket.AF_INET, "tcp4", "127.0.0.1"), (socket.AF_INET6, "tcp6", "::1")):
            with inside(network):
                sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                async with asyncio.timeout(CONNECT_SECONDS):
                    await asyncio.get_running_loop().sock_connect(sock, (address, port))
                return await asyncio.open_connection(sock=sock, limit=WAITING)
            except (OSError, TimeoutError) as error:
                sock.close()
                shown = f"[{address}]" if ":" in address else address
                reasons.append(f"dial {name} {shown}:{port}: connect: {_why(error)}")
        where = f"failed to connect to localhost:{port} inside the pod's network namespace"
        raise SampanError(f"error forwarding port {port} to pod {pod}, uid : {where}: {', '.join(reasons)}")

    return dial


def _why(error: OSError) -> str:
    """asyncio's own text names the address again, the system's does not; a timeout has no number."""
    return os.strerror(error.errno).lower() if error.errno else str(error) or "i/o timeout"


class Pipe:
    """Bytes from the client for one forward: fed without waiting, `room` waits while much is there."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._ended = False
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()

    def feed(self, data: bytes, *, end: bool = False) -> None:
        if not self._ended:
            if data:
                self._parts.append(data)
            self._size += len(data)
            self._ended = end
            self._changed.set()

    async def room(self) -> None:
        while self._size > WAITING:
            self._taken.clear()
            await self._taken.wait()

    async def read(self) -> bytes:
        """b"" at the end."""
        while not self._parts:
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        data = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        self._taken.set()
        return data

    def drop(self) -> None:
        """Nobody reads any more."""
        self._parts.clear()
        self._size, self._ended = 0, True
        self._taken.set()
        self._changed.set()


async def forward(dial: Dial, port: int, pipe: Pipe, send: Send, done: Callable[[str], Awaitable[None]]) -> None:
    """One connection from its start to its end. `send(b"")` tells that the pod has said all; `done(text)` that the
    forward is over ("" in good order), while the client may still send for a while."""
    try:
        reader, writer = await dial(port)
    except SampanError as error:
        pipe.drop()
        await done(str(error))
        return
    up = asyncio.ensure_future(_up(pipe, writer))
    try:
        while data := await reader.read(CHUNK):
            await send(data)
        await send(b"")
        await done("")
        await asyncio.wait((up,), timeout=LATE)
    except ConnectionError as error:  # of the pod; or of the client, then `done` finds nobody either
        await done(f"error forwarding port {port}: {_why(error)}")
    finally:
        up.cancel()
        await asyncio.gather(up, return_exceptions=True)
        pipe.drop()
        writer.close()


async def _up(pipe: Pipe, writer: asyncio.StreamWriter) -> None:
    """From the client to the pod; the end of one is the end of the other."""
    try:
        while data := await pipe.read():
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except (OSError, RuntimeError):  # the pod's side has gone: its reader says so
        pipe.drop()


@dataclass
class _Pair:
    """The two streams of a forward, as far as they are open (0: not yet)."""

    port: int
    error: int = 0
    data: int = 0
    pipe: Pipe = field(default_factory=Pipe)
    task: asyncio.Task[None] | None = None
    over: bool = False  # the end of the error stream has been sent


class SpdyForwards:
    """All forwards of one SPDY connection. `run` returns when the client has left."""

    def __init__(self, raw: Raw, dial: Dial) -> None:
        self._raw, self._dial = raw, dial
        self._connection = spdy.Connection()
        self._pairs: dict[str, _Pair] = {}
        self._by_data: dict[int, _Pair] = {}
        self._tasks = Tasks("port-forward")

    async def run(self) -> None:
        try:
            while data := await self._raw.read():
                for event in self._connection.receive(data):
                    await self._handle(event)
        except spdy.SpdyError:
            await self._raw.write(self._connection.go_away())
        finally:
            await self._tasks.stop()

    async def _handle(self, event: spdy.Event) -> None:
        if isinstance(event, spdy.Opened):
            await self._opened(event)
        elif isinstance(event, spdy.Ping):
            await self._raw.write(self._connection.ping(event.number))
        elif isinstance(event, spdy.Data) and (pair := self._by_data.get(event.stream)):
            pair.pipe.feed(event.data, end=event.fin)
            await pair.pipe.room()
        elif isinstance(event, spdy.Reset) and (pair := self._by_data.get(event.stream)):
            await self._give_up(pair)

    async def _opened(self, event: spdy.Opened) -> None:
        headers = event.headers
        kind, port = headers.get("streamtype", ""), headers.get("port", "")
        # Old clients number nothing; theirs are the error stream and the data stream two after it.
        request = headers.get("requestid") or str(event.stream - 2 * (kind == "data"))
        if kind not in ("error", "data") or not port.isdigit() or not 0 < int(port) < 65536:
            await self._raw.write(self._connection.reset(event.stream, spdy.REFUSED_STREAM))
            return
        await self._raw.write(self._connection.accept(event.stream))
        pair = self._pairs.setdefault(request, _Pair(int(port)))
        if kind == "error":
            pair.error = event.stream
        else:
            pair.data = event.stream
            self._by_data[event.stream] = pair
            pair.pipe.feed(b"", end=event.fin)
        if pair.error and pair.data:
            del self._pairs[request]
            pair.task = self._tasks.start(f"port {port} request {request}", self._forward(pair))

    async def _give_up(self, pair: _Pair) -> None:
        """The client wants no more of this forward; it waits for the end of its error stream."""
        if pair.task is not None:
            pair.task.cancel()
        if pair.error and not pair.over:
            pair.over = True
            await self._raw.write(self._connection.send(pair.error, b"", fin=True))

    async def _forward(self, pair: _Pair) -> None:
        async def send(data: bytes) -> None:
            await self._raw.write(self._connection.send(pair.data, data, fin=not data))

        async def done(text: str) -> None:
            pair.over = True
            end = self._connection.send(pair.error, text.encode(), fin=True)
            await self._raw.write(end + (self._connection.reset(pair.data, spdy.INTERNAL_ERROR) if text else b""))

        try:
            await forward(self._dial, pair.port, pair.pipe, send, done)
        except ConnectionError:
            return  # the client has left, which `run` sees too
        finally:
            del self._by_data[pair.data]


class Socket(Protocol):
    """The part of base.http's WebSocket that is used."""

    async def receive(self) -> bytes | str | None: ...
    async def send(self, data: bytes) -> None: ...


class Tunnel:
    """A WebSocket whose messages are a connection's bytes, as the connection."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while (message := await self._socket.receive()) is not None:
            if message:
                return message if isinstance(message, bytes) else message.encode()
        return b""

    async def write(self, data: bytes) -> None:
        await self._socket.send(data)

    def close(self) -> None:
        """The WebSocket is closed by who accepted it."""


class ChannelForwards:
    """One forward for each of `ports`, over the channels 2i (data) and 2i + 1 (error) of one WebSocket.

    The first message on each channel from us is its port, two bytes, low one first. There is no half-closing.
    """

    def __init__(self, socket: Socket, ports: tuple[int, ...], dial: Dial) -> None:
        self._socket, self._ports, self._dial = socket, ports, dial
        self._tasks = Tasks("port-forward")

    async def run(self) -> None:
        for channel in range(2 * len(self._ports)):
            await self._socket.send(bytes([channel]) + struct.pack("<H", self._ports[channel // 2]))
        pipes = [Pipe() for _ in self._ports]
        open_forwards = [
            self._tasks.start(f"port {port}", self._forward(i, port, pipes[i])) for i, port in enumerate(self._ports)
        ]
        reading = self._tasks.start("client", self._read(pipes))
        try:
            over = asyncio.gather(*open_forwards, return_exceptions=True)
            await asyncio.wait((over, reading), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._tasks.stop()

    async def _read(self, pipes: list[Pipe]) -> None:
        while (message := await self._socket.receive()) is not None:
            data = message if isinstance(message, bytes) else message.encode()
            if data and data[0] % 2 == 0 and data[0] // 2 < len(pipes):
                pipe = pipes[data[0] // 2]
                pipe.feed(data[1:])
                await pipe.room()

    async def _forward(self, index: int, port: int, pipe: Pipe) -> None:
        async def send(data: bytes) -> None:
            if data:
                await self._socket.send(bytes([2 * index]) + data)
            else:
                pipe.feed(b"", end=True)  # the client cannot see the end of one forward among several

        async def done(text: str) -> None:
            if text:
                await self._socket.send(bytes([2 * index + 1]) + text.encode())

        try:
            await forward(self._dial, port, pipe, send, done)
        except ConnectionError:
            return  # the client has left, which `_read` sees too


def ports(values: list[str]) -> tuple[int, ...]:
    """The ports of a query (`ports=80&ports=81,82`). Raises ApiError 400."""
    found = [word for value in values for word in value.split(",")]
    for word in found:
        if not word.isdigit() or not 0 < int(word) < 65536:
            raise bad_request(f'invalid port "{word}", must be between 1 and 65535')
    if not found:
        raise bad_request('query parameter "ports" is required')
    return tuple(int(word) for word in found)
