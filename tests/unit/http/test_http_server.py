"""The server against raw sockets: what goes in and what comes out, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop

from sampan.base.http.server import Server
from sampan.base.http.types import Raw, Request, Response, Stream, Upgrade


async def echo(request: Request) -> Response | Stream | Upgrade:
    if request.path == "/fail":
        raise RuntimeError("on purpose")
    if request.path == "/slow":
        await asyncio.sleep(0.05)
    text = f"{request.method} {request.path} {request.query_string} {len(request.body)}"
    return Response(200, text.encode(), [("content-type", "text/plain")])


class Talk:
    """A client that speaks bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(lines[0].split()[1]), headers, body

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), 5)


def run(
    test: Callable[[Talk, Server], Awaitable[None]], handler: Callable[[Request], Any] = echo, **options: Any
) -> None:
    async def main() -> None:
        server = Server(handler, name="test", **options)
        port = await server.listen_tcp("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.wait_for(test(Talk(reader, writer), server), 10)
        finally:
            writer.close()
            await server.close(0.5)
            assert not server.connections

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_keep_alive_and_pipelining_answer_in_order() -> None:
    async def test(talk: Talk, server: Server) -> None:
        talk.send(b"GET /slow?a=1 HTTP/1.1\r\nhost: x\r\n\r\nGET /b%20c HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.sleep(0.01)
        talk.send(b"POST /d HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc")
        assert (await talk.answer())[2] == b"GET /slow a=1 0"
        assert (await talk.answer())[2] == b"GET /b c  0"
        status, headers, body = await talk.answer()
        assert (status, body, headers["content-length"]) == (200, b"POST /d  3", "10")
        assert "date" in headers
        assert "connection" not in headers

    run(test)


def test_chunked_body_expect_and_head() -> None:
    async def test(talk: Talk, server: Server) -> None:
        talk.send(b"POST /d HTTP/1.1\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n")
        assert await talk.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        talk.send(b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-trailer: 1\r\n\r\n")
        assert (await talk.answer())[2] == b"POST /d  5"
        talk.send(b"HEAD /e HTTP/1.1\r\nconnection: close\r\n\r\n")
        answer = await talk.rest()
        assert b"content-length: 10\r\n" in answer
        assert answer.endswith(b"connection: close\r\n\r\n")

    run(test)


def test_http_10_closes() -> None:
    async def test(talk: Talk, server: Server) -> None:
        talk.send(b"GET /a HTTP/1.0\r\n\r\n")
        assert (await talk.rest()).endswith(b"GET /a  0")

    run(test)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 5000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 9000, b"431"),
        (b"POST / HTTP/1.1\r\ncontent-length: 2000\r\n\r\n" + b"z" * 1500, b"413"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5dc\r\n" + b"z" * 1500, b"413"),
    ],
)
def test_refusals(request_bytes: bytes, status: bytes) -> None:
    async def test(talk: Talk, server: Server) -> None:
        talk.send(b"GET /slow HTTP/1.1\r\n\r\n")
        await asyncio.sleep(0.01)
        talk.send(request_bytes)
        assert (await talk.answer())[2] == b"GET /slow  0"
        assert (await talk.rest()).split()[1] == status

    run(test, limit=1000, header_limit=4000, oversize=lambda: Response(413, b"mine"))


def test_a_refused_client_may_finish_sending_and_reads_the_answer() -> None:
    async def test(talk: Talk, server: Server) -> None:
        talk.send(b"POST / HTTP/1.1\r\ncontent-length: 10000000\r\n\r\n")
        for _ in range(100):
            talk.send(b"x" * 100_000)
            await talk.writer.drain()
        assert (await talk.rest()).endswith(b"mine")

    run(test, oversize=lambda: Response(413, b"mine"))


def test_a_failing_handler_is_a_500_and_the_connection_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def test(talk: Talk, server: Server) -> None:
        talk.send(b"GET /fail HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\n\r\n")
        assert (await talk.answer())[0] == 500
        assert (await talk.answer())[0] == 200

    run(test)
    assert "on purpose" in caplog.text


def test_a_header_with_a_line_break_is_refused() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, b"secret", [("x", "a\r\nset-cookie: b")])

    async def test(talk: Talk, server: Server) -> None:
        talk.send(b"GET / HTTP/1.1\r\n\r\n")
        assert (await talk.answer())[::2] == (500, b"")

    run(test, handler)


class Chunks:
    """Counts what was asked for and remembers that it was closed."""

    def __init__(self, size: int, pause: float = 0) -> None:
        self.size, self.pause, self.made, self.closed = size, pause, 0, False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._make()

    async def _make(self) -> AsyncIterator[bytes]:
        try:
            while True:
                self.made += 1
                yield b"x" * self.size
                await asyncio.sleep(self.pause)
        finally:
            self.closed = True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


def test_stream_is_chunked_and_then_the_connection_is_reused() -> None:
    async def handler(request: Request) -> Stream:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"one"
            yield b""
            yield b"three"

        return Stream(200, chunks())

    async def test(talk: Talk, server: Server) -> None:
        for _ in range(2):
            talk.send(b"GET / HTTP/1.1\r\n\r\n")
            assert b"transfer-encoding: chunked" in await talk.reader.readuntil(b"\r\n\r\n")
            assert await talk.reader.readuntil(b"0\r\n\r\n") == b"3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"

    run(test, handler)


def test_the_iterator_is_closed_when_the_client_leaves() -> None:
    chunks = Chunks(10, pause=3600)

    async def handler(request: Request) -> Stream:
        return Stream(200, aiter(chunks))

    async def test(talk: Talk, server: Server) -> None:
        talk.send(b"GET / HTTP/1.1\r\n\r\n")
        await until(lambda: chunks.made == 1)
        assert not chunks.closed
        talk.writer.close()
        await until(lambda: chunks.closed)

    run(test, handler)


def test_a_client_that_does_not_read_slows_the_iterator_and_is_cut_off() -> None:
    chunks = Chunks(100_000)

    async def handler(request: Request) -> Stream:
        return Stream(200, aiter(chunks), stall=0.2)

    async def test(talk: Talk, server: Server) -> None:
        talk.writer.transport.pause_reading()  # type: ignore[attr-defined]
        talk.send(b"GET / HTTP/1.1\r\n\r\n")
        await until(lambda: chunks.closed)
        assert chunks.made < 200
        await until(lambda: not server.connections)

    run(test, handler)


def test_close_ends_a_stream_in_good_order() -> None:
    async def handler(request: Request) -> Stream:
        return Stream(200, aiter(Chunks(1, pause=3600)))

    async def test(talk: Talk, server: Server) -> None:
        talk.send(b"GET / HTTP/1.1\r\n\r\n")
        await talk.reader.readuntil(b"1\r\nx\r\n")
        await server.close(1)
        assert await talk.rest() == b"0\r\n\r\n"

    run(test, handler)


def test_close_waits_for_a_request_in_progress() -> None:
    async def test(talk: Talk, server: Server) -> None:
        talk.send(b"GET /slow HTTP/1.1\r\n\r\n")
        await until(lambda: any(c.task for c in server.connections))
        await server.close(1)
        assert (await talk.rest()).endswith(b"GET /slow  0")

    run(test)


def test_upgrade_delivers_leftover_bytes_and_half_close() -> None:
    async def handler(request: Request) -> Response | Upgrade:
        if request.path == "/first":
            return Response(200)
        assert request.upgrade == "spdy/3.1"

        async def session(raw: Raw) -> None:
            while data := await raw.read():
                await raw.write(data.upper())
            await raw.write(b"bye")

        return Upgrade(session, [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")])

    async def test(talk: Talk, server: Server) -> None:
        talk.send(b"GET /first HTTP/1.1\r\n\r\n")
        talk.send(b"POST /exec HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\nearly")
        assert (await talk.answer())[0] == 200
        assert (await talk.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await talk.reader.readexactly(5) == b"EARLY"
        talk.send(b"late")
        assert await talk.reader.readexactly(4) == b"LATE"
        talk.writer.write_eof()
        assert await talk.rest() == b"bye"

    run(test, handler)


def test_an_upgrade_may_be_answered_plainly() -> None:
    async def test(talk: Talk, server: Server) -> None:
        talk.send(b"GET /a HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\n")
        assert (await talk.rest()).endswith(b"GET /a  0")

    run(test)


def test_quiet_connections_are_closed() -> None:
    async def test(talk: Talk, server: Server) -> None:
        talk.send(b"GET /a HTT")
        assert await talk.rest() == b""

    run(test, idle=0.2)


def test_sending_far_ahead_is_held_back() -> None:
    released = asyncio.Event()

    async def handler(request: Request) -> Response:
        await released.wait()
        return Response(200)

    async def test(talk: Talk, server: Server) -> None:
        one = b"POST / HTTP/1.1\r\ncontent-length: 100000\r\n\r\n" + b"x" * 100_000
        for _ in range(200):
            talk.send(one)
        await asyncio.sleep(0.1)
        assert talk.writer.transport.get_write_buffer_size() > 1_000_000
        released.set()
        for _ in range(200):
            assert (await talk.answer())[0] == 200

    run(test, handler)


def test_unix_socket_mode_and_clean_up(tmp_path: Any) -> None:
    path = tmp_path / "s.sock"

    async def main() -> None:
        path.touch()
        server = Server(echo, name="test")
        await server.listen_unix(path)
        assert path.stat().st_mode & 0o777 == 0o600
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET /u HTTP/1.1\r\n\r\n")
        assert (await Talk(reader, writer).answer())[2] == b"GET /u  0"
        writer.close()
        await server.close()
        assert not path.exists()

    asyncio.run(main())
