"""The real API server in this process, on a loopback port, for tests that speak HTTP (or something like it) to it."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import orjson

from sampan.api.kinds import SCHEME
from sampan.base.clock import Clock, SystemClock
from sampan.base.http.client import HttpClient as Transport
from sampan.ca.authority import Authority, Leaf
from sampan.server.server import Server, ServerConfig
from sampan.server.types import User
from sampan.store.memory import MemoryStore
from sampan.store.types import Store

TOKENS = {"root": User("root", ("system:masters",)), "bob": User("bob")}


@dataclass
class ApiServer:
    server: Server
    context: ssl.SSLContext
    client: Transport

    @property
    def port(self) -> int:
        return self.server.port

    async def call(
        self, method: str, target: str, body: Any = None, token: str = "root", **headers: str
    ) -> tuple[int, Any]:
        """(status, JSON or text of the answer). `body`: bytes as they are, anything else as JSON."""
        code, _, answer = await self.full(method, target, body, token, **headers)
        return code, answer

    async def full(
        self, method: str, target: str, body: Any = None, token: str = "root", **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        given = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        if token:
            given["authorization"] = f"Bearer {token}"
        answer = await self.client.request(method, target, headers=list(given.items()), body=data)
        try:
            return answer.status, dict(answer.headers), orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            return answer.status, dict(answer.headers), answer.body.decode()

    async def raw(self, small: bool = False) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TLS connection to say anything on; with `small` buffers when it is not going to read."""
        sock = socket.socket()
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        return await asyncio.open_connection(sock=sock, ssl=self.context, server_hostname="127.0.0.1", limit=1 << 16)

    async def say(self, data: bytes, patience: float = 10.0, end: bool = False) -> bytes:
        """All that is answered to these bytes until the server closes (or a moment of silence, unless `end`)."""
        reader, writer = await self.raw()
        found = b""
        try:
            writer.write(data)
            while True:
                async with asyncio.timeout(patience if end or not found else 0.3):
                    part = await reader.read(1 << 16)
                if not part:
                    return found
                found += part
        except TimeoutError:
            assert not end, f"the server did not close after {found[:200]!r}"
            return found
        except ConnectionError:
            return found
        finally:
            writer.transport.abort()


@asynccontextmanager
async def running(folder: Path, store: Store | None = None, clock: Clock | None = None) -> AsyncIterator[ApiServer]:
    authority = Authority.open(folder, "test", datetime.now(UTC))
    authority.ensure(Leaf("server", "kube-apiserver", hosts=("127.0.0.1",), server=True), datetime.now(UTC))
    config = ServerConfig(
        listen=("127.0.0.1",),
        port=0,
        advertise="192.0.2.1",
        cert=folder / "server.crt",
        key=folder / "server.key",
        client_ca=folder / "ca.crt",
        service_cidr=IPv4Network("10.96.0.0/16"),
        agent_socket=lambda node: folder / f"{node}.sock",
        account_key=folder / "sa.key",
        tokens=TOKENS,
    )
    clock = clock or SystemClock()
    server = Server(config, SCHEME.live(), store or MemoryStore(clock=clock), clock, random.Random(1))
    await server.start()
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    client = Transport(f"https://127.0.0.1:{server.port}", context)
    try:
        yield ApiServer(server, context, client)
    finally:
        await client.close()
        await server.close()
