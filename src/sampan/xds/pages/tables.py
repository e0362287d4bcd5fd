"""Resources as rows, a function a type: what `sampan proxy-config` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sampan.xds import types
from sampan.xds.messages import Message
from sampan.xds.pages import secrets
from sampan.xds.simulate.clusters import upstream
from sampan.xds.simulate.match import describe
from sampan.xds.simulate.messages import origin_of, origins, parsed, unpacked
from sampan.xds.types import Resource, Snapshot

Rows = Iterator[list[str]]

_STATES = ("HEALTHY", "HEALTHY", "UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED")


def _listeners(snapshot: Snapshot, resource: Resource) -> Rows:
    listener = parsed(types.LISTENER, resource.body)
    socket = listener.address.socket_address
    place = [resource.name, socket.address, str(socket.port_value)]
    if socket.protocol == socket.UDP:
        yield [*place, "UDP", _udp(listener)]
    for chain in listener.filter_chains:
        yield [*place, _chain(chain), _destination(chain)]
    if listener.HasField("default_filter_chain"):
        yield [*place, _chain(listener.default_filter_chain), _destination(listener.default_filter_chain)]


def _chain(chain: Message) -> str:
    names = ", ".join(chain.filter_chain_match.server_names)
    what = "TLS" if chain.HasField("transport_socket") else "TLS passed on" if names else "plain text"
    return f"{what}: {names}" if names else what


def _destination(chain: Message) -> str:
    handler = unpacked(chain.filters[-1].typed_config)
    if handler is None:
        return "?"
    if handler.DESCRIPTOR.name == "HttpConnectionManager":
        return f"Route: {handler.rds.route_config_name}"
    return "Cluster: " + _clusters_of(handler.cluster, handler.weighted_clusters.clusters)


def _udp(listener: Message) -> str:
    proxy = unpacked(listener.listener_filters[-1].typed_config)
    return f"UDP proxy: {proxy.stat_prefix}" if proxy is not None else "?"


def _routes(snapshot: Snapshot, resource: Resource) -> Rows:
    known = origins(resource)
    for host in parsed(types.ROUTES, resource.body).virtual_hosts:
        for route in host.routes:
            domains = ", ".join(host.domains)
            origin = origin_of(route, known)
            yield [resource.name, domains, describe(route.match), _action(route), str(origin) if origin else ""]


def _action(route: Message) -> str:
    kind = route.WhichOneof("action")
    if kind == "redirect":
        code = (301, 302, 303, 307, 308)[route.redirect.response_code]
        return f"Redirect: {code}"
    if kind == "direct_response":
        return f"Answer: {route.direct_response.status}"
    return _clusters_of(route.route.cluster, route.route.weighted_clusters.clusters)


def _clusters_of(one: str, weighted: list[Message]) -> str:
    total = sum(_weight(target) for target in weighted)
    return one or ", ".join(f"{target.name} {100 * _weight(target) / total:.3g}%" for target in weighted)


def _weight(target: Message) -> int:
    """A route's is wrapped, a stream's is not."""
    return int(getattr(target.weight, "value", target.weight))


def _clusters(snapshot: Snapshot, resource: Resource) -> Rows:
    cluster = parsed(types.CLUSTER, resource.body)
    found = upstream(snapshot, resource.name)
    ready = sum(member.state in ("healthy", "by DNS") for member in found.members)
    yield [
        resource.name,
        type(cluster).DiscoveryType.Name(cluster.type),
        found.service,
        f"{ready}/{len(found.members)}",
        type(cluster).LbPolicy.Name(cluster.lb_policy),
        "TLS" if cluster.HasField("transport_socket") else "",
    ]


def _endpoints(snapshot: Snapshot, resource: Resource) -> Rows:
    for locality in parsed(types.ENDPOINTS, resource.body).endpoints:
        for member in locality.lb_endpoints:
            socket = member.endpoint.address.socket_address
            yield [
                f"{socket.address}:{socket.port_value}",
                _STATES[member.health_status],
                str(member.load_balancing_weight.value or 1),
                locality.locality.zone,
                resource.name,
            ]


def members(resource: Resource) -> Iterator[str]:
    """ "10.0.0.1:80 HEALTHY" """
    for locality in parsed(types.ENDPOINTS, resource.body).endpoints:
        for member in locality.lb_endpoints:
            socket = member.endpoint.address.socket_address
            yield f"{socket.address}:{socket.port_value} {_STATES[member.health_status]}"


def _secrets(snapshot: Snapshot, resource: Resource) -> Rows:
    shown = secrets.shown(resource)
    for certificate in shown["certificates"]:
        names = ", ".join(certificate["names"])
        yield [resource.name, shown["kind"], certificate["subject"], names, certificate["notAfter"]]


TABLES: dict[str, tuple[list[str], Callable[[Snapshot, Resource], Rows]]] = {
    "listeners": (["NAME", "ADDRESS", "PORT", "MATCH", "DESTINATION"], _listeners),
    "routes": (["NAME", "DOMAINS", "MATCH", "DESTINATION", "ORIGIN"], _routes),
    "clusters": (["NAME", "TYPE", "SERVICE", "READY", "LB", "TLS"], _clusters),
    "endpoints": (["ENDPOINT", "STATUS", "WEIGHT", "ZONE", "SERVICE"], _endpoints),
    "secrets": (["NAME", "TYPE", "SUBJECT", "NAMES", "NOT AFTER"], _secrets),
}
