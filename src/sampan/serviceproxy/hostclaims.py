"""Ports of this machine that are led elsewhere, held by a socket each.

No packet ever comes to these sockets. But whoever has a port already keeps it, and whoever wants one of ours later is
told that it is in use (and by whom: `ss -ltnp`), instead of waiting for clients that never come.
"""

from __future__ import annotations

import socket
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
        if tcp:
            sock.listen(1)
    except OSError:
        sock.close()
        raise
    return sock


class HostClaims:
    def __init__(self, listen: Listen = listen) -> None:
        self._listen = listen
        self._held: dict[HostPort, socket.socket] = {}

    def hold(self, wanted: Collection[HostPort]) -> frozenset[HostPort]:
        """Let go of others, and say which of these are ours now."""
        for port in self._held.keys() - set(wanted):
            self._held.pop(port).close()
        for port in set(wanted) - self._held.keys():
            try:
                self._held[port] = self._listen(port)
            except OSError:
                continue
        return frozenset(self._held)
