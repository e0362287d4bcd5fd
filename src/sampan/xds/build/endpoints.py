"""Endpoints → ClusterLoadAssignment. By hand on the wire: there are ten thousand, and they change all the time."""

from __future__ import annotations

from collections.abc import Iterable

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
        zones.setdefault(member.zone, []).append(nested(2, _member(member, serving and member.draining)))
    body = text(1, endpoints.name) + b"".join(nested(2, _locality(zone, zones[zone])) for zone in sorted(zones))
    return resource(endpoints.name, body)


def _locality(zone: str, members: Iterable[bytes]) -> bytes:
    """LocalityLbEndpoints."""
    return nested(1, text(2, zone)) + b"".join(members)


def _member(member: ir.Endpoint, draining: bool) -> bytes:
    """LbEndpoint{endpoint{address{socket_address{address, port_value}}}}: nothing in it is as long as 128 bytes."""
    ip = member.ip.encode()
    socket = b"\x12%c%b\x18%b" % (len(ip), ip, varint(member.port))
    size = len(socket)
    made = b"\x0a%c\x0a%c\x0a%c%b" % (size + 4, size + 2, size, socket)
    if draining:
        made += number(2, DRAINING)
    if member.weight > 1:
        made += nested(4, number(1, member.weight))
    return made
