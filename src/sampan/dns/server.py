"""UDP and TCP around the plugin chain, with a cache of encoded answers in front.

A repeated question costs one dict lookup: the key is the whole message after its id, the value the encoded answer.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from sampan.base import log
from sampan.base.tasks import Tasks
from sampan.dns.types import SERVFAIL, Answer, Plugin, Query

MAX_CACHED = 10_000
MAX_IN_FLIGHT = 1_000
MAX_CHASES = 8
TCP_IDLE = 10.0

_log = log.get("dns")


class _Entry:
    """Encoded answers without the id, one a rotation."""

    __slots__ = ("expires", "forms", "turn", "version")

    def __init__(self, forms: list[bytes], expires: float, version: int) -> None:
        self.forms = [form[2:] for form in forms]
        self.expires = expires
        self.version = version
        self.turn = 0

    def next(self) -> bytes:
        self.turn = (self.turn + 1) % len(self.forms)
        return self.forms[self.turn]


class Resolver:
    """The chain: asks the plugins in order, follows CNAMEs, encodes, remembers.

    `version` tells the version of the zone: an answer encoded under an older one is not served again.
    """

    def __init__(self, plugins: Sequence[Plugin], version: Callable[[], int]) -> None:
        self._plugins = plugins
        self._version = version
        self._answers: dict[bytes, _Entry] = {}

    def cached(self, data: bytes) -> bytes | None:
        """The kept answer to this very message, or None."""
        entry = self._answers.get(data[2:])
        if entry is None or entry.version != self._version() or entry.expires < time.monotonic():
            return None
        return data[:2] + entry.next()

    async def resolve(self, data: bytes, tcp: bool) -> bytes | None:
        """The answer to a message; None when it deserves none."""
        from sampan.dns import wire

        decoded = wire.decode(data, tcp)
        if decoded is None:
            return None
        message, query = decoded
        version = self._version()
        answer = await self._chain(query)
        forms = wire.encode(message, query, answer)
        if answer.keep and not tcp:
            if len(self._answers) >= MAX_CACHED:
                self._answers.clear()
            self._answers[data[2:]] = _Entry(forms, time.monotonic() + answer.keep, version)
        return forms[0]

    async def _chain(self, query: Query, depth: int = 0) -> Answer:
        for plugin in self._plugins:
            answer = await plugin.answer(query)
            if answer is None:
                continue
            if answer.chase is None or depth == MAX_CHASES:
                return answer
            return await self._follow(query, answer, answer.chase, depth)
        return Answer(SERVFAIL)

    async def _follow(self, query: Query, answer: Answer, target: tuple[str, ...], depth: int) -> Answer:
        """Add what a CNAME's target has; a target that cannot be resolved leaves the CNAME alone in the answer."""
        from sampan.dns import wire

        onward = replace(query, name=target, wire=wire.question(target, query.type))
        found = await self._chain(onward, depth + 1)
        more = wire.records(found.wire) if found.wire else found.records
        return Answer(found.rcode, answer.records + more, keep=min(answer.keep, found.keep))


class Server:
    """Serves on sockets that are bound already (the supervisor holds them, so questions wait while we restart)."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._tasks = Tasks("dns")
        self._udp: list[asyncio.DatagramTransport] = []
        self._tcp: list[asyncio.Server] = []

    async def serve(self, udp: socket.socket, tcp: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self._resolver, self._tasks), sock=udp)
        self._udp.append(transport)
        self._tcp.append(await asyncio.start_server(self._connection, sock=tcp))

    async def close(self) -> None:
        for transport in self._udp:
            transport.close()
        for server in self._tcp:
            server.close()
        await self._tasks.stop()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE):
                    size = int.from_bytes(await reader.readexactly(2))
                    data = await reader.readexactly(size)
                answer = await self._resolver.resolve(data, tcp=True)
                if answer is None:
                    return
                writer.write(len(answer).to_bytes(2) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, TimeoutError, OSError):
            return
        finally:
            writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, resolver: Resolver, tasks: Tasks) -> None:
        self._resolver = resolver
        self._tasks = tasks
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        answer = self._resolver.cached(data)
        if answer is not None:
            self._transport.sendto(answer, addr)
        elif len(self._tasks) < MAX_IN_FLIGHT:
            self._tasks.start("query", self._resolve(data, addr))

    async def _resolve(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        answer = await self._resolver.resolve(data, tcp=False)
        if answer is not None and not self._transport.is_closing():
            self._transport.sendto(answer, addr)

    def error_received(self, exc: Exception) -> None:
        _log.debug("udp: %s", exc)
