"""Which virtual host: exact name, longest wildcard in front, longest wildcard behind, "*"."""

from __future__ import annotations

from sampan.xds.messages import Message


def virtual_host(table: Message, authority: str) -> tuple[Message, str] | None:
    """The virtual host and the domain that decided. `table` is a RouteConfiguration."""
    host = (_without_port(authority) if table.ignore_port_in_host_matching else authority).lower()
    best: tuple[tuple[int, int], Message, str] | None = None
    for one in table.virtual_hosts:
        for domain in one.domains:
            rank = _rank(domain.lower(), host)
            if rank and (best is None or rank > best[0]):
                best = (rank, one, domain)
    return (best[1], best[2]) if best else None


def _rank(domain: str, host: str) -> tuple[int, int] | None:
    """Larger is more specific; None does not match. A wildcard stands for at least one character."""
    length = len(domain) - 1
    if domain == "*":
        return 1, 0
    if domain.startswith("*"):
        return (3, length) if len(host) > length and host.endswith(domain[1:]) else None
    if domain.endswith("*"):
        return (2, length) if len(host) > length and host.startswith(domain[:-1]) else None
    return (4, length) if domain == host else None


def _without_port(authority: str) -> str:
    host, colon, port = authority.rpartition(":")
    return host if colon and "]" not in port else authority
