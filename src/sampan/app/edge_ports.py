"""Which ports of this machine the default gateway answers on: chosen at the first `up`, kept while they are free.

Only the choice is made here; serviceproxy.hostports takes them when a Service asks for them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from sampan.app import claims
from sampan.app.claims import Pair
from sampan.app.config import NODE_PORTS, Cluster, load, names
from sampan.base.errors import UserError

Wanted = tuple[int | None, int | None]  # what --http-port and --https-port say: 0 is none, None is as before
OPTIONS = ("--http-port", "--https-port")
TRIES = 200


def choose(wanted: Wanted, saved: Pair | None, is_free: Callable[[int], bool]) -> Pair:
    """(http, https), 0 for none. Raises UserError."""
    for option, port in zip(OPTIONS, wanted, strict=True):
        if port:
            _check(option, port, is_free)
    if wanted[0] and wanted[0] == wanted[1]:
        raise UserError(
            f"HTTP and HTTPS cannot both be on port {wanted[0]}", "sampan up --http-port 80 --https-port 443"
        )
    fixed = [
        0 if want is None and saved and not had else want for want, had in zip(wanted, saved or (0, 0), strict=True)
    ]
    for pair in _candidates(saved):
        http, https = (offer if want is None else want for want, offer in zip(fixed, pair, strict=True))
        own = [port for port, want in zip((http, https), fixed, strict=True) if want is None]
        if (http != https or not http) and all(is_free(port) for port in own):
            return http, https
    raise UserError("no free ports for the gateway", "sampan up --http-port 0 --https-port 0")


def _candidates(saved: Pair | None) -> Iterator[Pair]:
    if saved:
        yield saved
    yield 80, 443
    yield from ((8080 + k, 8443 + k) for k in range(TRIES))


def _check(option: str, port: int, is_free: Callable[[int], bool]) -> None:
    if not 0 < port < 65536 or NODE_PORTS[0] <= port <= NODE_PORTS[1]:
        raise UserError(
            f"{option} {port} cannot be: 1 to 65535, without the NodePorts {NODE_PORTS[0]}-{NODE_PORTS[1]}",
            f"sampan up {option} 8080",
        )
    if not is_free(port):
        raise UserError(f"port {port} of this machine is taken", f"ss -ltnp 'sport = :{port}'")


def is_free(cluster: Cluster, port: int) -> bool:
    """Does nobody listen on it, and has no other cluster that runs, or of this state directory, been given it?"""
    others = [claim.edge for claim in claims.others(cluster.run)]
    if not cluster.chosen_ports:  # one that is down keeps its ports before a newcomer
        others += [
            other for name in names(cluster.root) if name != cluster.name and (other := _saved(name, cluster.root))
        ]
    if any(port in ports for ports in others):
        return False
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def started_with(cluster: Cluster) -> Pair | None:
    """The ports of the cluster as it runs now; None when it does not."""
    claim = claims.read(cluster.run)
    return claim.edge if claim else None


def shown(ports: Pair) -> str:
    """`http://192.0.2.2:80 https://192.0.2.2:443`, as another machine would reach it. "" when there is none."""
    address = _address()
    return " ".join(
        f"{scheme}://{address}:{port}" for scheme, port in zip(("http", "https"), ports, strict=True) if port
    )


def _saved(name: str, root: Path) -> Pair | None:
    try:
        found = load(name, root)
    except UserError:  # its file is damaged: no reason not to start this one
        return None
    return found.chosen_ports if found else None


def _address() -> str:
    """This machine's address towards the outside, localhost's without a default route. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(sock.getsockname()[0])
