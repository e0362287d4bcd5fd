"""The client against our own server, and against servers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop

from sampan.base.http.client import HttpClient
from sampan.base.http.server import Server
from sampan.base.http.types import Raw, Request, Response, Stream, Upgrade


async def handler(request: Request) -> Response | Stream | Upgrade:
    if request.path == "/stream":

        async def chunks() -> AsyncIterator[bytes]:
            for part in (b"one", b"two"):
                yield part
                await asyncio.sleep(0.01)

        return Stream(200, chunks())
    if request.path == "/big":
        return Response(200, b"x" * 3_000_000)
    if request.upgrade == "shout":

        async def session(raw: Raw) -> None:
            while data := await raw.read():
                await raw.write(data.upper())

        return Upgrade(session, [("connection", "Upgrade"), ("upgrade", "shout")])
    if request.path == "/sleep":
        await asyncio.sleep(10)
    return Response(404 if request.path == "/missing" else 200, request.method.encode() + b" " + request.body)


def run(test: Callable[[HttpClient, Server], Awaitable[None]]) -> None:
    async def main() -> None:
        server = Server(handler, name="test")
        port = await server.listen_tcp("127.0.0.1", 0)
        client = HttpClient(f"http://127.0.0.1:{port}")
        try:
            await asyncio.wait_for(test(client, server), 10)
        finally:
            await client.close()
            await server.close(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_requests_share_a_connection() -> None:
    async def test(client: HttpClient, server: Server) -> None:
        assert (await client.request("GET", "/a")).body == b"GET "
        assert (await client.request("POST", "/a", [("x", "y")], b"hi")).body == b"POST hi"
        missing = await client.request("GET", "/missing")
        assert (missing.status, missing.headers["content-length"]) == (404, "4")
        head = await client.request("HEAD", "/a")
        assert (head.headers["content-length"], head.body) == ("5", b"")
        assert len((await client.request("GET", "/big")).body) == 3_000_000
        assert len(server.connections) == 1

    run(test)


def test_streams_and_leaving_one_early() -> None:
    async def test(client: HttpClient, server: Server) -> None:
        stream = await client.stream("GET", "/stream")
        assert [data async for data in stream] == [b"one", b"two"]
        early = await client.stream("GET", "/big")
        await early.aclose()
        assert (await client.request("GET", "/a")).body == b"GET "
        assert len(server.connections) <= 2

    run(test)


def test_upgrade_and_its_refusal() -> None:
    async def test(client: HttpClient, server: Server) -> None:
        up = await client.upgrade("POST", "/x", [("connection", "Upgrade"), ("upgrade", "shout")])
        assert up.raw is not None
        await up.raw.write(b"hello")
        assert await up.raw.read() == b"HELLO"
        up.raw.close()
        refused = await client.upgrade("POST", "/missing", [("connection", "Upgrade"), ("upgrade", "other")])
        assert (refused.status, refused.raw, refused.body) == (404, None, b"POST ")

    run(test)


def test_timeout_closes_the_connection() -> None:
    async def test(client: HttpClient, server: Server) -> None:
        with pytest.raises(TimeoutError):
            await client.request("GET", "/sleep", timeout=0.05)
        assert (await client.request("GET", "/a")).status == 200

    run(test)


def test_a_stale_connection_is_retried_and_a_refused_one_named() -> None:
    async def main() -> None:
        accepted = 0

        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """Answers the first request of a connection and drops the second without a word."""
            nonlocal accepted
            accepted += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        listener = await asyncio.start_server(once, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        client = HttpClient(f"http://127.0.0.1:{port}")
        assert (await client.request("GET", "/")).body == b"ok"
        assert (await client.request("GET", "/")).body == b"ok"
        assert accepted == 2
        with pytest.raises(ConnectionError):
            await client.request("PATCH", "/")
        listener.close()
        await client.close()
        with pytest.raises(ConnectionError, match=f"cannot connect to http://127.0.0.1:{port}"):
            await client.request("GET", "/")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\ncut", None),
        (b"nonsense\r\n\r\n", None),
        (b"", None),
    ],
)
def test_answers_of_other_servers(answer: bytes, body: bytes | None) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
            client = HttpClient(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
            if body is None:
                with pytest.raises(ConnectionError):
                    await client.request("GET", "/", timeout=5)
            else:
                assert (await client.request("GET", "/", timeout=5)).body == body
            await client.close()

    asyncio.run(main())


def test_unix(tmp_path: Any) -> None:
    async def main() -> None:
        server = Server(handler, name="test")
        await server.listen_unix(tmp_path / "s")
        client = HttpClient(f"unix:{tmp_path}/s")
        assert (await client.request("GET", "/a")).body == b"GET "
        await client.close()
        await server.close()

    asyncio.run(main())
