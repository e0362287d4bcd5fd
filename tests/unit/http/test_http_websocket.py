"""WebSocket sessions, with wsproto as the other end."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from sampan.base.http import websocket
from sampan.base.http.client import HttpClient
from sampan.base.http.raw import RawConnection
from sampan.base.http.server import Server
from sampan.base.http.types import Request, Response, Upgrade
from sampan.base.http.websocket import BadHandshake, WebSocket

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def handshake(*protocols: str) -> list[tuple[str, str]]:
    headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-version", "13"),
    ]
    return headers + [("sec-websocket-protocol", p) for p in protocols]


class Peer:
    """The client's end."""

    def __init__(self, raw: RawConnection, headers: dict[str, str]) -> None:
        self.raw, self.headers = raw, headers
        self.connection = Connection(ConnectionType.CLIENT)

    async def send(self, event: Event) -> None:
        await self.raw.write(self.connection.send(event))

    async def events(self) -> list[Event]:
        data = await self.raw.read()
        self.connection.receive_data(data or None)
        return list(self.connection.events())


def run(
    session: Callable[[WebSocket], Awaitable[None]],
    test: Callable[[Peer], Awaitable[None]],
    offered: Sequence[str] = ("v4",),
) -> None:
    async def handler(request: Request) -> Response | Upgrade:
        try:
            return websocket.accept(request, ["v5", "v4"], session)
        except BadHandshake as error:
            return Response(400, str(error).encode())

    async def main() -> None:
        server = Server(handler, name="test")
        client = HttpClient(f"http://127.0.0.1:{await server.listen_tcp('127.0.0.1', 0)}")
        try:
            up = await client.upgrade("GET", "/", handshake(*offered))
            assert up.raw is not None, up.body
            await asyncio.wait_for(test(Peer(up.raw, up.headers)), 10)
            up.raw.close()
        finally:
            await client.close()
            await server.close(0)

    asyncio.run(main())


async def shout(socket: WebSocket) -> None:
    while (message := await socket.receive()) is not None:
        await socket.send(message.upper() if isinstance(message, bytes) else message.encode())


def test_messages_pings_and_close() -> None:
    async def test(peer: Peer) -> None:
        assert peer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        await peer.send(BytesMessage(data=b"ab", message_finished=False))
        await peer.send(BytesMessage(data=b"c"))
        (answer,) = await peer.events()
        assert bytes(answer.data) == b"ABC"  # type: ignore[attr-defined]
        await peer.send(TextMessage(data="text"))
        assert bytes((await peer.events())[0].data) == b"text"  # type: ignore[attr-defined]
        await peer.send(Ping(payload=b"p"))
        assert isinstance((await peer.events())[0], Pong)
        await peer.send(CloseConnection(code=1000))
        assert isinstance((await peer.events())[0], CloseConnection)

    run(shout, test)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["v4", "v5"], "v5"),
        (["base64url.bearer.authorization.k8s.io.dG9rZW4, v4"], "v4"),
    ],
)
def test_subprotocol_is_the_servers_choice(offered: list[str], chosen: str) -> None:
    async def test(peer: Peer) -> None:
        assert peer.headers["sec-websocket-protocol"] == chosen

    run(shout, test, offered)


def test_the_servers_close_carries_everything_before_it() -> None:
    async def session(socket: WebSocket) -> None:
        await socket.send(b"last words")

    async def test(peer: Peer) -> None:
        await peer.send(BytesMessage(data=b"never read"))
        seen = await peer.events()
        if len(seen) == 1:
            seen += await peer.events()
        assert bytes(seen[0].data) == b"last words"  # type: ignore[attr-defined]
        assert isinstance(seen[1], CloseConnection)
        assert seen[1].code == 1000
        await peer.send(seen[1].response())
        assert await peer.raw.read() == b""

    run(session, test)


def test_a_broken_frame_ends_the_session() -> None:
    ended: list[Any] = []

    async def session(socket: WebSocket) -> None:
        ended.append(await socket.receive())

    async def test(peer: Peer) -> None:
        await peer.raw.write(b"\xff\xff\xff\xff")
        (event,) = await peer.events()
        assert isinstance(event, CloseConnection)
        assert event.code == 1002
        assert ended == [None]

    run(session, test)


def test_send_after_the_peer_closed_raises() -> None:
    caught: list[Exception] = []

    async def session(socket: WebSocket) -> None:
        assert await socket.receive() is None
        try:
            await socket.send(b"x")
        except ConnectionError as error:
            caught.append(error)

    async def test(peer: Peer) -> None:
        await peer.send(CloseConnection(code=1000))
        assert isinstance((await peer.events())[0], CloseConnection)
        assert await peer.raw.read() == b""

    run(session, test)
    assert caught


@pytest.mark.parametrize(
    "headers",
    [
        {},
        dict(handshake("v9")),
        dict(handshake("v4")) | {"sec-websocket-version": "8"},
        {k: v for k, v in handshake("v4") if k != "sec-websocket-key"},
        dict(handshake()),
    ],
)
def test_bad_handshakes(headers: dict[str, str]) -> None:
    with pytest.raises(BadHandshake):
        websocket.accept(Request("GET", "/", "/", "", headers), ["v5", "v4"], shout)


def test_no_subprotocol_may_be_admitted() -> None:
    assert websocket.accept(Request("GET", "/", "/", "", dict(handshake())), ["v5", ""], shout).status == 101


def test_junk_after_the_handshake_ends_that_connection_and_no_other() -> None:
    """Frames made at random (seeded): the session ends in its own time, and the next client is served."""
    chance = random.Random(7)

    async def session(socket: WebSocket) -> None:
        while (message := await socket.receive()) is not None:
            await socket.send(message if isinstance(message, bytes) else message.encode())

    async def main() -> None:
        async def handler(request: Request) -> Response | Upgrade:
            return websocket.accept(request, ["v4"], session)

        server = Server(handler, name="t")
        port = await server.listen_tcp("127.0.0.1", 0)
        client = HttpClient(f"http://127.0.0.1:{port}")
        for _ in range(100):
            upgraded = await client.upgrade("GET", "/", handshake("v4"))
            assert upgraded.raw is not None
            frame = bytes([chance.choice((0x81, 0x82, 0x88, 0x89, 0x8A, 0x01, 0xFF, 0x83)), chance.randrange(256)])
            with contextlib.suppress(ConnectionError):
                await upgraded.raw.write(frame + chance.randbytes(chance.randrange(40)))
            upgraded.raw.close()
        upgraded = await client.upgrade("GET", "/", handshake("v4"))
        assert upgraded.raw is not None
        peer = Peer(upgraded.raw, upgraded.headers)
        await peer.send(BytesMessage(b"still here"))
        events = await asyncio.wait_for(peer.events(), 5)
        assert [e.data for e in events if isinstance(e, BytesMessage)] == [b"still here"]
        upgraded.raw.close()
        await server.close(grace=1)

    asyncio.run(main())
