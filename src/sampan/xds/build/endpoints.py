"""Endpoints → ClusterLoadAssignment. By hand on the wire: there are ten thousand, and they change all the time."""

from __future__ import annotations

from collections.abc import Sequence

from sampan import ir
from sampan.xds.messages import resource
from sampan.xds.types import Resource
from sampan.xds.wire import nested, number, text, varint

DRAINING = 3  # envoy.config.core.v3.HealthStatus


def endpoints_resource(endpoints: ir.Endpoints) -> Resource:
    """One locality a zone. A member that drains is marked so, and gets nothing new, only while somebody else is there
    (clusters have no panic mode, so with only marked members every request would fail)."""
    serving = any(not member.draining for member in endpoints.members)
    zones: dict[str, list[bytes]] = {}
    for member in endpoints.members:
        zones.setdefault(member.zone, []).append(_member(member, serving and member.draining))
    body = text(1, endpoints.name) + b"".join([nested(2, _locality(zone, zones[zone])) for zone in sorted(zones)])
    return resource(endpoints.name, body)


def _locality(zone: str, members: Sequence[bytes]) -> bytes:
    """LocalityLbEndpoints. Its weight is for gRPC's clients, to whom a locality without is not there."""
    return nested(1, text(2, zone)) + b"".join(members) + nested(3, number(1, len(members)))


def _member(member: ir.Endpoint, draining: bool) -> bytes:
    """lb_endpoints: LbEndpoint{endpoint{address{socket_address{address, port_value}}}, health_status, weight}.

    Nothing in it is as long as 128 bytes, so each length is one byte.
    """
    ip = member.ip.encode()
    socket = b"\x12%c%b\x18%b" % (len(ip), ip, varint(member.port))
    more = number(2, DRAINING) if draining else b""
    if member.weight > 1:
        more += nested(4, number(1, member.weight))
    size = len(socket)
    return b"\x12%c\x0a%c\x0a%c\x0a%c%b%b" % (size + 6 + len(more), size + 4, size + 2, size, socket, more)
