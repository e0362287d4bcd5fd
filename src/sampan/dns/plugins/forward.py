"""Names of the world (CoreDNS' forward plugin): ask the machine's resolvers, pass their message on."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

from sampan.dns.types import SERVFAIL, Answer, Query

TIMEOUT = 2.0
KEEP = 30.0


def upstreams(resolv_conf: Path = Path("/etc/resolv.conf")) -> tuple[str, ...]:
    """The nameservers of the machine, IPv4 only."""
    try:
        lines = resolv_conf.read_text().splitlines()
    except OSError:
        return ()
    fields = [line.split() for line in lines]
    return tuple(f[1] for f in fields if len(f) > 1 and f[0] == "nameserver" and ":" not in f[1])


class Forward:
    """Sends a query to each server in turn until one answers within TIMEOUT seconds.

    `open_socket(kind)` gives an unconnected socket that can reach the servers (the machine's network namespace, where
    a resolver on 127.0.0.53 is what it says). Answers are kept KEEP seconds at most, whatever their TTL.
    """

    def __init__(self, servers: tuple[str, ...], open_socket: Callable[[int], socket.socket], port: int = 53) -> None:
        self._servers = servers
        self._open_socket = open_socket
        self._port = port

    async def answer(self, query: Query) -> Answer | None:
        for server in self._servers:
            try:
                async with asyncio.timeout(TIMEOUT):
                    wire = await (self._ask_tcp if query.tcp else self._ask_udp)(server, query.wire)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                continue
            return Answer(wire=query.wire[:2] + wire[2:], keep=min(KEEP, _least_ttl(wire)))
        return Answer(SERVFAIL)

    async def _ask_udp(self, server: str, wire: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        identity = secrets.token_bytes(2)
        with self._open_socket(socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect((server, self._port))  # only this server's datagrams are received from here on
            await loop.sock_sendall(sock, identity + wire[2:])
            while True:
                answer = await loop.sock_recv(sock, 65535)
                if answer[:2] == identity and len(answer) >= 12:
                    return answer

    async def _ask_tcp(self, server: str, wire: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        sock = self._open_socket(socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, (server, self._port))
            reader, writer = await asyncio.open_connection(sock=sock)
        except BaseException:
            sock.close()
            raise
        try:
            writer.write(len(wire).to_bytes(2) + wire)
            size = int.from_bytes(await reader.readexactly(2))
            return await reader.readexactly(size)
        finally:
            writer.close()


def _least_ttl(wire: bytes) -> float:
    """The smallest TTL of a message's records; 0 when it has none or cannot be read."""
    import dns.exception
    import dns.flags
    import dns.message

    try:
        message = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return 0.0
    if message.flags & dns.flags.TC:
        return 0.0
    return float(min((rrset.ttl for rrset in (*message.answer, *message.authority)), default=0))
