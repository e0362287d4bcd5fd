"""Endpoints → ClusterLoadAssignment. By hand on the wire: there are ten thousand, and they change all the time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from sampan import ir
from sampan.xds.messages import resource
from sampan.xds.types import Resource
from sampan.xds.wire import nested, number, text, varint

DRAINING = 3  # envoy.config.core.v3.HealthStatus


def endpoints_resource(endpoints: ir.Endpoints) -> Resource:
    """One locality a zone. A member that drains is marked so, and gets nothing new, only while somebody else is there
    (clusters have no panic mode, so with only marked members every request would fail)."""
    members = endpoints.members
    serving = not all(member.draining for member in members)
    zones: dict[str, list[bytes]] = {}
    for member in members:
        ip = member.ip.encode()
        before, after = _around(len(ip), member.port, member.weight, serving and member.draining)
        made = before + ip + after
        if (zone := zones.get(member.zone)) is None:
            zones[member.zone] = [made]
        else:
            zone.append(made)
    body = text(1, endpoints.name) + b"".join([nested(2, _locality(zone, zones[zone])) for zone in sorted(zones)])
    return resource(endpoints.name, body)


def _locality(zone: str, members: Sequence[bytes]) -> bytes:
    """LocalityLbEndpoints. Its weight is for gRPC's clients, to whom a locality without is not there."""
    return nested(1, text(2, zone)) + b"".join(members) + nested(3, number(1, len(members)))


@lru_cache(4096)
def _around(length: int, port: int, weight: int, draining: bool) -> tuple[bytes, bytes]:
    """What stands before and after an address of this length, the same for most members:

    lb_endpoints: LbEndpoint{endpoint{address{socket_address{address, port_value}}}, health_status, weight}.
    Nothing in it is as long as 128 bytes, so each length is one byte.
    """
    tail = b"\x18" + varint(port)
    size = 2 + length + len(tail)
    more = number(2, DRAINING) if draining else b""
    if weight > 1:
        more += nested(4, number(1, weight))
    head = b"\x12%c\x0a%c\x0a%c\x0a%c\x12%c" % (size + 6 + len(more), size + 4, size + 2, size, length)
    return head, tail + more
