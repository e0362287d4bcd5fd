"""The HTTP/1.1 server: listeners and limits. What happens on one connection is in `connection.py`."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from sampan.base.http.connection import Connection
from sampan.base.http.incoming import TEXT, Limits
from sampan.base.http.types import Handler, Response

# Seconds for a TLS handshake; those who do not finish it are not counted as connections yet.
_HANDSHAKE = 10.0


def _too_large() -> Response:
    return Response(413, b"request body too large\n", TEXT)


def _crowded() -> Response:
    return Response(429, b"too many connections, try again later\n", [*TEXT, ("retry-after", "1")])


class Server:
    """Answers requests on any number of TCP and Unix listeners through one handler.

    `limit`: bytes of a request body, `oversize` makes the answer to a larger one. `header_limit`: bytes of a request's
    head. `idle`: seconds a connection may be quiet between requests. `patience`: seconds that a request may take to
    arrive. `crowd`: connections at a time; beyond it the one that was quiet longest is closed, and when all are busy
    the new one is told to come again. `close` ends all.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        name: str,
        limit: int = 3 * 1024 * 1024 + 64 * 1024,
        oversize: Callable[[], Response] = _too_large,
        header_limit: int = 64 * 1024,
        idle: float = 180.0,
        patience: float = 30.0,
        crowd: int = 4096,
    ) -> None:
        self.handler = handler
        self.name = name
        self.limits = Limits(limit, header_limit, oversize)
        self.idle = idle
        self.patience = patience
        self.crowd = crowd
        self.connections: set[Connection] = set()
        self.closing = False
        self._listeners: list[asyncio.Server] = []
        self._paths: list[Path] = []
        self._sweeper: asyncio.TimerHandle | None = None

    def admit(self, connection: Connection) -> None:
        """A new connection is there; is there room?"""
        if len(self.connections) >= self.crowd:
            quiet = [c for c in self.connections if c.idle_since is not None]
            if not quiet:
                connection.refuse(_crowded())
                return
            oldest = min(quiet, key=lambda c: c.idle_since or 0.0)
            self.connections.discard(oldest)
            oldest.abort()
        self.connections.add(connection)

    async def listen_tcp(self, host: str, port: int, ssl_context: ssl.SSLContext | None = None) -> int:
        """Listen and return the port (useful when `port` is 0). Raises OSError when it is taken."""
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            lambda: Connection(self),
            host,
            port,
            ssl=ssl_context,
            ssl_handshake_timeout=_HANDSHAKE if ssl_context else None,
            backlog=1024,
            reuse_address=True,
        )
        self._add(listener)
        bound: int = listener.sockets[0].getsockname()[1]
        return bound

    async def listen_socket(self, sock: socket.socket, ssl_context: ssl.SSLContext | None = None) -> None:
        """Serve a socket that listens already (one that a supervisor holds over our restarts)."""
        loop = asyncio.get_running_loop()
        timeout = _HANDSHAKE if ssl_context else None
        self._add(
            await loop.create_server(
                lambda: Connection(self), sock=sock, ssl=ssl_context, ssl_handshake_timeout=timeout, backlog=1024
            )
        )

    async def listen_unix(self, path: str | Path, mode: int = 0o600) -> None:
        """Listen on a Unix socket with this file mode; a stale socket file at the path is replaced."""
        place = Path(path)
        place.unlink(missing_ok=True)
        # The mode must hold from the first moment: bind under a umask, as there is no mode argument to bind(2).
        before = os.umask(0o777 & ~mode)
        try:
            listener = await asyncio.get_running_loop().create_unix_server(lambda: Connection(self), str(place))
        finally:
            os.umask(before)
        self._paths.append(place)
        self._add(listener)

    async def close(self, grace: float = 5.0) -> None:
        """Stop listening, end streams, let requests in progress finish for `grace` seconds, then cut off."""
        self.closing = True
        if self._sweeper:
            self._sweeper.cancel()
        for listener in self._listeners:
            listener.close()
        for path in self._paths:
            path.unlink(missing_ok=True)
        for connection in list(self.connections):
            connection.finish()
        working = [c.task for c in self.connections if c.task is not None]
        if working:
            await asyncio.wait(working, timeout=grace)
        left = [c.task for c in self.connections if c.task is not None]
        for connection in list(self.connections):
            connection.abort()
        if left:
            await asyncio.wait(left, timeout=1.0)
        while self.connections:  # transports report their end a turn of the loop later
            await asyncio.sleep(0)

    def _add(self, listener: asyncio.Server) -> None:
        self._listeners.append(listener)
        if self._sweeper is None:
            self._sweep()

    def _sweep(self) -> None:
        """Close connections that were quiet for too long: one timer for all instead of one for each."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self.connections):
            if connection.begun_at is not None and connection.begun_at < now - self.patience:
                connection.give_up()
            elif connection.idle_since is not None and connection.idle_since < now - self.idle:
                connection.abort()
        self._sweeper = loop.call_later(min(self.idle, self.patience) / 4, self._sweep)
