"""TLS on the server: certificates reach the handler, slow readers are cut off, streams end when the client leaves."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sampan.base.http.client import HttpClient
from sampan.base.http.server import Server
from sampan.base.http.types import Request, Response, Stream
from sampan.ca.authority import Authority, Leaf


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    now = datetime.now(UTC)
    authority = Authority.open(tmp_path, "test", now)
    authority.ensure(Leaf("server", "server", hosts=("127.0.0.1",), server=True), now)
    authority.ensure(Leaf("user", "user", client=True), now)
    return tmp_path


def server_context(pki: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki / "ca.crt")
    context.load_cert_chain(pki / "server.crt", pki / "server.key")
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(pki: Path, certificate: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=pki / "ca.crt")
    if certificate:
        context.load_cert_chain(pki / "user.crt", pki / "user.key")
    return context


def run(pki: Path, handler: Callable[[Request], Any], test: Callable[[int, Server], Awaitable[None]]) -> None:
    async def main() -> None:
        server = Server(handler, name="test")
        port = await server.listen_tcp("127.0.0.1", 0, server_context(pki))
        try:
            await asyncio.wait_for(test(port, server), 10)
        finally:
            await server.close(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


def test_the_clients_certificate(pki: Path) -> None:
    async def handler(request: Request) -> Response:
        found = request.certificate
        return Response(200, hashlib.sha256(found).hexdigest().encode() if found else b"none")

    async def test(port: int, server: Server) -> None:
        bare = HttpClient(f"https://127.0.0.1:{port}", client_context(pki))
        assert (await bare.request("GET", "/")).body == b"none"
        await bare.close()
        known = HttpClient(f"https://127.0.0.1:{port}", client_context(pki, certificate=True))
        der = ssl.PEM_cert_to_DER_cert((pki / "user.crt").read_text())
        assert (await known.request("GET", "/")).body == hashlib.sha256(der).hexdigest().encode()
        assert (await known.request("POST", "/", body=b"x" * 2_000_000)).status == 200
        await known.close()
        stranger = HttpClient(f"https://127.0.0.1:{port}")
        with pytest.raises(ssl.SSLError):
            await stranger.request("GET", "/")
        await stranger.close()

    run(pki, handler, test)


@pytest.mark.parametrize("leave", [True, False])
def test_streams_end_when_the_client_leaves_or_stops_reading(pki: Path, leave: bool) -> None:
    ended = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
                await asyncio.sleep(3600 if leave else 0)
        finally:
            ended.set()

    async def handler(request: Request) -> Stream:
        return Stream(200, chunks(), stall=0.3)

    async def test(port: int, server: Server) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context(pki))
        if not leave:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        if leave:
            await asyncio.sleep(0.1)
            writer.close()
        await asyncio.wait_for(ended.wait(), 5)
        await until(lambda: not server.connections)
        writer.close()

    run(pki, handler, test)
