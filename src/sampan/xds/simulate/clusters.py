"""A cluster and who stands behind it."""

from __future__ import annotations

from dataclasses import dataclass

from envoy.config.core.v3 import health_check_pb2

from sampan.ir import Origin
from sampan.xds import types
from sampan.xds.messages import METADATA, Message
from sampan.xds.simulate.messages import found, only_origin
from sampan.xds.simulate.types import Member
from sampan.xds.types import Snapshot

_STATES = {
    health_check_pb2.UNKNOWN: "healthy",
    health_check_pb2.HEALTHY: "healthy",
    health_check_pb2.DRAINING: "draining",
    health_check_pb2.DEGRADED: "degraded",
}
_PANIC = 50.0


@dataclass(frozen=True, slots=True)
class Upstream:
    """`known` False: no cluster of that name. `service` is what people call it ("default/web")."""

    name: str
    known: bool = True
    service: str = ""
    members: tuple[Member, ...] = ()
    serves: bool = True
    origin: Origin | None = None


def upstream(snapshot: Snapshot, name: str) -> Upstream:
    one = found(snapshot, types.CLUSTER, name)
    if not one:
        return Upstream(name, known=False, serves=False)
    resource, cluster = one
    members = _members(snapshot, cluster)
    metadata = cluster.metadata.filter_metadata
    service = metadata[METADATA].fields["service"].string_value if METADATA in metadata else ""
    return Upstream(name, True, service, members, _serves(cluster, members), only_origin(resource))


def _serves(cluster: Message, members: tuple[Member, ...]) -> bool:
    """In panic (fewer healthy ones than the threshold) everybody is asked."""
    good = sum(member.state in ("healthy", "degraded", "by DNS") for member in members)
    config = cluster.common_lb_config
    panic = config.healthy_panic_threshold.value if config.HasField("healthy_panic_threshold") else _PANIC
    return bool(members) and (good > 0 or panic > 0)


def _members(snapshot: Snapshot, cluster: Message) -> tuple[Member, ...]:
    if cluster.type != cluster.EDS:
        return tuple(Member(address, weight, "by DNS") for address, weight, _ in _listed(cluster.load_assignment))
    one = found(snapshot, types.ENDPOINTS, cluster.eds_cluster_config.service_name or cluster.name)
    if not one:
        return ()
    return tuple(Member(address, weight, _STATES.get(state, "unhealthy")) for address, weight, state in _listed(one[1]))


def _listed(assignment: Message) -> list[tuple[str, int, int]]:
    made = []
    for locality in assignment.endpoints:
        for member in locality.lb_endpoints:
            socket = member.endpoint.address.socket_address
            weight = member.load_balancing_weight.value or 1
            made.append((f"{socket.address}:{socket.port_value}", weight, member.health_status))
    return made
