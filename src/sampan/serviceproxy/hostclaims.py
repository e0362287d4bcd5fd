"""Ports of this machine that are led elsewhere, held by a socket each.

Packets do not come to these sockets while the host's table is there. But whoever has a port already keeps it, and
whoever wants one of ours later is told that it is in use (and by whom: `ss -ltnp`), instead of waiting for clients that
never come.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Collection

from sampan.serviceproxy.forwards import HostPort

Listen = Callable[[HostPort], socket.socket]


def listen(port: HostPort) -> socket.socket:
    """Raises OSError when somebody has it, on whatever address."""
    tcp = port.protocol == "tcp"
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    try:
        if tcp:  # connections of a former owner that are only being closed do no harm
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", port.port))
        sock.setblocking(False)
        if tcp:
            sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


class HostClaims:
    """Used on one event loop."""

    def __init__(self, listen: Listen = listen) -> None:
        self._listen = listen
        self._held: dict[HostPort, socket.socket] = {}

    def hold(self, wanted: Collection[HostPort]) -> frozenset[HostPort]:
        """Let go of others, and say which of these are ours now."""
        loop = asyncio.get_running_loop()
        for port in self._held.keys() - set(wanted):
            sock = self._held.pop(port)
            loop.remove_reader(sock)
            sock.close()
        for port in set(wanted) - self._held.keys():
            try:
                sock = self._held[port] = self._listen(port)
            except OSError:
                continue
            loop.add_reader(sock, _refuse, sock)
        return frozenset(self._held)


def _refuse(sock: socket.socket) -> None:
    """Somebody flushed the host's table: a client that comes here all the same must not wait for an answer."""
    try:
        if sock.type == socket.SOCK_DGRAM:
            sock.recv(1)
            return
        connection, _ = sock.accept()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        connection.close()
    except OSError:
        return
