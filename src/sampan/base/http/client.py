"""An HTTP/1.1 client with kept-alive connections, for one server: whole answers, streams and upgrades."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from sampan.base.http import wire
from sampan.base.http.exchange import Exchange
from sampan.base.http.raw import RawConnection

Headers = Iterable[tuple[str, str]]

# Methods that may be sent twice when a kept-alive connection turns out to be dead.
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
# Seconds an idle connection is trusted; below the idle limit of our own server.
_IDLE = 60.0


@dataclass(slots=True)
class ClientResponse:
    """A whole answer. Header names are lower case; repeated headers are joined with ", "."""

    status: int
    headers: dict[str, str]
    body: bytes


class StreamResponse:
    """An answer whose body is read as it comes. Iterate to the end or `aclose()` it."""

    def __init__(self, client: HttpClient, connection: Exchange) -> None:
        self.status, self.headers = connection.status, connection.headers
        self._client, self._connection = client, connection

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        try:
            while data := await self._connection.body.read():
                yield data
        finally:
            self.close()

    async def read(self) -> bytes:
        """The rest of the body."""
        return b"".join([data async for data in self])

    def close(self) -> None:
        self._client.give_back(self._connection)

    async def aclose(self) -> None:
        self.close()


@dataclass(slots=True)
class Upgraded:
    """`raw` is the connection when `status` is 101; otherwise `body` says why not."""

    status: int
    headers: dict[str, str]
    raw: RawConnection | None
    body: bytes = b""


class HttpClient:
    """Requests to `base`: "https://host:port", "http://host:port" or "unix:/path".

    All verbs raise ConnectionError (unreachable, broken off), TimeoutError, and ssl.SSLError for a wrong certificate.
    `headers` go with every request. `connect_to`: where the host of `base` is, when it has another address.
    """

    def __init__(
        self, base: str, ssl_context: ssl.SSLContext | None = None, *, headers: Headers = (), connect_to: str = ""
    ) -> None:
        self.base = base
        self._ssl = ssl_context
        self._idle: list[Exchange] = []
        self._open: set[Exchange] = set()
        self._common = wire.header_lines(headers)
        self._address = connect_to
        if base.startswith("unix:"):
            self._unix: str | None = base.removeprefix("unix:")
            self._common += "host: localhost\r\n"
        else:
            parts = urlsplit(base)
            tls = parts.scheme == "https"
            self._unix = None
            self._host, self._port = parts.hostname or "", parts.port or (443 if tls else 80)
            self._ssl = (ssl_context or ssl.create_default_context()) if tls else None
            self._common += f"host: {parts.netloc}\r\n"

    async def request(
        self, method: str, target: str, headers: Headers = (), body: bytes = b"", timeout: float | None = 30.0
    ) -> ClientResponse:
        """Send and read the whole answer within `timeout` seconds."""
        async with asyncio.timeout(timeout):
            response = await self._start(method, target, headers, body)
            return ClientResponse(response.status, response.headers, await response.read())

    async def stream(
        self, method: str, target: str, headers: Headers = (), body: bytes = b"", timeout: float | None = 30.0
    ) -> StreamResponse:
        """Send and return once the answer's head is there (within `timeout` seconds)."""
        async with asyncio.timeout(timeout):
            return await self._start(method, target, headers, body)

    async def upgrade(
        self, method: str, target: str, headers: Headers, body: bytes = b"", timeout: float | None = 30.0
    ) -> Upgraded:
        """Ask for an upgrade; `headers` must name it. The caller closes `raw`."""
        async with asyncio.timeout(timeout):
            connection = await self._connect()
            response = await self._exchange(connection, method, target, headers, body)
            if connection.raw is not None:
                self._open.discard(connection)
                return Upgraded(response.status, response.headers, connection.raw)
            return Upgraded(response.status, response.headers, None, await response.read())

    async def close(self) -> None:
        for connection in list(self._open):
            connection.transport.abort()
        self._open.clear()
        self._idle.clear()
        await asyncio.sleep(0)

    # -- inside

    async def _start(self, method: str, target: str, headers: Headers, body: bytes) -> StreamResponse:
        kept = self._take_idle()
        if kept is not None:
            try:
                return await self._exchange(kept, method, target, headers, body)
            except ConnectionError:
                if method not in _IDEMPOTENT or kept.answered:
                    raise
        return await self._exchange(await self._connect(), method, target, headers, body)

    async def _exchange(
        self, connection: Exchange, method: str, target: str, headers: Headers, body: bytes
    ) -> StreamResponse:
        lines = self._common + wire.header_lines(headers)
        if body or method not in _IDEMPOTENT:
            lines += f"content-length: {len(body)}\r\n"
        try:
            await connection.send(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + body, method)
        except BaseException:
            connection.transport.abort()
            self._open.discard(connection)
            raise
        return StreamResponse(self, connection)

    async def _connect(self) -> Exchange:
        loop = asyncio.get_running_loop()
        try:
            if self._unix is not None:
                _, connection = await loop.create_unix_connection(Exchange, self._unix)
            else:
                address, name = self._address or self._host, self._host if self._ssl else None
                _, connection = await loop.create_connection(
                    Exchange, address, self._port, ssl=self._ssl, server_hostname=name
                )
        except ssl.SSLError:
            raise
        except OSError as error:
            raise ConnectionError(f"cannot connect to {self.base}: {error.strerror or error}") from error
        self._open.add(connection)
        return connection

    def _take_idle(self) -> Exchange | None:
        oldest = asyncio.get_running_loop().time() - _IDLE
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing() and connection.idle_since > oldest:
                return connection
            self._open.discard(connection)
            connection.transport.abort()
        return None

    def give_back(self, connection: Exchange) -> None:
        """Keep a connection whose answer was read to its end; close any other."""
        if connection not in self._open or connection in self._idle:
            return
        if connection.reusable and connection.body.empty and not connection.transport.is_closing():
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            self._open.discard(connection)
            connection.transport.abort()
