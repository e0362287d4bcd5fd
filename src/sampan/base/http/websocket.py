"""WebSocket sessions on the server's side, over wsproto. Source: RFC 6455.

`accept` checks the handshake and gives the `Upgrade` a handler returns; the session function then has a `WebSocket`.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha1
from typing import Any

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from sampan.base.errors import SampanError
from sampan.base.http.types import Raw, Request, Upgrade

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MESSAGE_LIMIT = 16 * 1024 * 1024
# Seconds the peer has to answer our close before the connection goes away under it.
_CLOSE_WAIT = 2.0

NORMAL, PROTOCOL_ERROR, TOO_BIG, INTERNAL_ERROR = 1000, 1002, 1009, 1011


class BadHandshake(SampanError):
    """The request cannot become a WebSocket; answer 400 with this text."""


def offered(request: Request) -> list[str]:
    """The subprotocols the client offers, in its order."""
    return [p for p in (s.strip() for s in request.headers.get("sec-websocket-protocol", "").split(",")) if p]


def accept(request: Request, protocols: Sequence[str], session: Callable[[WebSocket], Awaitable[None]]) -> Upgrade:
    """Answer the handshake with the first of `protocols` that the client offers, then run `session`.

    "" among `protocols` admits a client that offers none of them. A bearer token travelling as a subprotocol
    (`base64url.bearer.authorization.k8s.io.…`) is never chosen. Raises BadHandshake.
    """
    key = request.headers.get("sec-websocket-key", "")
    if request.method != "GET" or request.upgrade != "websocket" or not key:
        raise BadHandshake("this address is for WebSocket: the request lacks the Upgrade or Sec-WebSocket-Key header")
    if request.headers.get("sec-websocket-version") != "13":
        raise BadHandshake("unsupported Sec-WebSocket-Version, the server speaks 13")
    names = offered(request)
    chosen = next((p for p in protocols if p in names), None)
    if chosen is None:
        if "" not in protocols:
            raise BadHandshake(f"unable to negotiate a WebSocket subprotocol: client supports {names}, "
                               f"server accepts {list(protocols)}")  # fmt: skip
        chosen = ""
    headers = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", b64encode(sha1(key.encode() + _GUID).digest()).decode()),
    ]
    if chosen:
        headers.append(("sec-websocket-protocol", chosen))

    async def run(raw: Raw) -> None:
        socket = WebSocket(raw, chosen)
        try:
            await session(socket)
        except BaseException:
            await socket.close(INTERNAL_ERROR)
            raise
        await socket.close(NORMAL)

    return Upgrade(run, headers)


class WebSocket:
    """One session. One task may receive while others send."""

    def __init__(self, raw: Raw, protocol: str) -> None:
        self.protocol = protocol
        self._raw = raw
        self._connection = Connection(ConnectionType.SERVER)
        self._messages: list[bytes | str] = []
        self._parts: list[bytes | str] = []
        self._size = 0
        self._receiving = False
        self._ended = asyncio.Event()

    async def receive(self) -> bytes | str | None:
        """The next whole message, None once the peer closed or left. Pings are answered here."""
        self._receiving = True
        try:
            while not self._messages:
                if self._ended.is_set():
                    return None
                data = await self._raw.read()
                if not data:
                    self._ended.set()
                    return None
                await self._take(data)
            return self._messages.pop(0)
        finally:
            self._receiving = False

    async def send(self, data: bytes) -> None:
        """Send a binary message. Raises ConnectionError when the session is over."""
        await self._send(BytesMessage(data=data))

    async def send_text(self, text: str) -> None:
        await self._send(TextMessage(data=text))

    async def ping(self) -> None:
        """Ask for a sign of life. Raises ConnectionError when the session is over."""
        await self._send(Ping())

    async def close(self, code: int = NORMAL) -> None:
        """Say goodbye and wait a moment for the answer, so that what was sent before is not cut off by a reset."""
        if self._connection.state is ConnectionState.OPEN:
            try:
                await self._send(CloseConnection(code=code))
                async with asyncio.timeout(_CLOSE_WAIT):
                    if self._receiving:
                        await self._ended.wait()
                    while not self._ended.is_set():
                        self._messages.clear()
                        await self.receive()
            except (ConnectionError, TimeoutError):
                pass  # it left without a word
        self._raw.close()

    async def _send(self, event: Message[Any] | CloseConnection | Ping) -> None:
        try:
            data = self._connection.send(event)
        except LocalProtocolError as error:
            raise ConnectionResetError(f"the WebSocket is closed: {error}") from None
        await self._raw.write(data)

    async def _take(self, data: bytes) -> None:
        """Feed bytes from the peer and act on what they mean."""
        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                if isinstance(event, Message):
                    await self._collect(event)
                elif isinstance(event, Ping):
                    await self._raw.write(self._connection.send(event.response()))
                elif isinstance(event, CloseConnection):
                    if self._connection.state is ConnectionState.REMOTE_CLOSING:
                        await self._raw.write(self._connection.send(event.response()))
                        self._ended.set()
                    elif self._connection.state is ConnectionState.OPEN:
                        await self._fail(event.code)  # wsproto's word for frames it cannot read
                    else:
                        self._ended.set()
        except RemoteProtocolError:
            await self._fail(PROTOCOL_ERROR)
        except ConnectionError:
            self._ended.set()

    async def _collect(self, event: Message[Any]) -> None:
        self._size += len(event.data)
        if self._size > _MESSAGE_LIMIT:
            await self._fail(TOO_BIG)
            return
        self._parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
        if event.message_finished:
            parts, self._parts, self._size = self._parts, [], 0
            self._messages.append("".join(parts) if isinstance(parts[0], str) else b"".join(parts))  # type: ignore[arg-type]

    async def _fail(self, code: int) -> None:
        if self._connection.state is ConnectionState.OPEN:
            await self._raw.write(self._connection.send(CloseConnection(code=code)))
        self._ended.set()
