"""An HTTP/1.1 client with kept-alive connections, for one server: whole answers, streams and upgrades."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import httptools

from sampan.base.http import wire
from sampan.base.http.raw import Inbox, RawConnection

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

    def __init__(self, client: HttpClient, connection: _Connection) -> None:
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
    `headers` go with every request.
    """

    def __init__(self, base: str, ssl_context: ssl.SSLContext | None = None, *, headers: Headers = ()) -> None:
        self.base = base
        self._ssl = ssl_context
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._common = wire.header_lines(headers)
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
        self, connection: _Connection, method: str, target: str, headers: Headers, body: bytes
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

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            if self._unix is not None:
                _, connection = await loop.create_unix_connection(_Connection, self._unix)
            else:
                _, connection = await loop.create_connection(_Connection, self._host, self._port, ssl=self._ssl)
        except ssl.SSLError:
            raise
        except OSError as error:
            raise ConnectionError(f"cannot connect to {self.base}: {error.strerror or error}") from error
        self._open.add(connection)
        return connection

    def _take_idle(self) -> _Connection | None:
        oldest = asyncio.get_running_loop().time() - _IDLE
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing() and connection.idle_since > oldest:
                return connection
            self._open.discard(connection)
            connection.transport.abort()
        return None

    def give_back(self, connection: _Connection) -> None:
        """Keep a connection whose answer was read to its end; close any other."""
        if connection not in self._open or connection in self._idle:
            return
        if connection.reusable and connection.body.empty and not connection.transport.is_closing():
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            self._open.discard(connection)
            connection.transport.abort()


class _Connection(asyncio.Protocol):
    """One connection, one exchange at a time.

    `answered`: any byte of the present answer has come. `reusable`: the answer is complete and may be followed.
    """

    def __init__(self) -> None:
        self.raw: RawConnection | None = None
        self.answered = False
        self.reusable = False
        self.idle_since = 0.0
        self._phase = "idle"  # then "head", "body"
        self._lost = False

    async def send(self, request: bytes, method: str) -> None:
        """Send a request and wait for the answer's head."""
        if self._lost:
            raise ConnectionResetError("the server closed the connection")
        self.status, self.headers = 0, dict[str, str]()
        self.body = Inbox(self.transport)
        self.answered = self.reusable = False
        self._bodiless = method == "HEAD"
        self._phase = "head"
        self._parser = httptools.HttpResponseParser(self)
        self._head: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await self._head

    # -- transport events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.raw is not None:
            self.raw.feed(data)
            return
        if self._phase == "idle":
            self.transport.abort()  # nobody asked: what it says belongs to nothing
            return
        self.answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.raw = RawConnection(self.transport, data[upgrade.args[0] :])
            self.body.feed_end()
            self._head_done()
        except httptools.HttpParserError as error:
            if self._phase != "idle":
                self._fail(ConnectionError(f"the server's answer is not HTTP: {error}"))

    def eof_received(self) -> bool:
        if self.raw is not None:
            self.raw.feed_end()
            return self.transport.get_extra_info("ssl_object") is None
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        if self.raw is not None:
            self.raw.lost()
        elif self._phase == "body" and not {"content-length", "transfer-encoding"} & self.headers.keys():
            self._phase = "idle"
            self.body.feed_end()  # the end of the connection is the end of the body
        elif self._phase != "idle":
            when = "in the middle of its answer" if self.answered else "before it answered"
            self._fail(ConnectionResetError(f"the server closed the connection {when}{f': {error}' if error else ''}"))

    def pause_writing(self) -> None:
        if self.raw is not None:
            self.raw.pause()

    def resume_writing(self) -> None:
        if self.raw is not None:
            self.raw.resume()

    # -- parser events

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase == "head":
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            before = self.headers.get(key)
            self.headers[key] = text if before is None else f"{before}, {text}"

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status == 101:
            return
        if self.status < 200:  # 100 Continue and the like: the real answer follows
            self.headers = {}
            return
        self._phase = "body"
        self._head_done()
        if self._bodiless:
            self.on_message_complete()

    def on_body(self, part: bytes) -> None:
        self.body.feed(part)

    def on_message_complete(self) -> None:
        if self._phase == "body":
            self.reusable = self._parser.should_keep_alive()
            self._phase = "idle"
            self.body.feed_end()

    def _head_done(self) -> None:
        if not self._head.done():
            self._head.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._phase = "idle"
        self.transport.abort()
        if not self._head.done():
            self._head.set_exception(error)
        else:
            self.body.feed_end(error)
