"""Clusters. What differs between thousands of them (name, endpoints, Service) is put before bytes that they share."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field, fields
from functools import lru_cache
from operator import attrgetter

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from envoy.config.core.v3 import address_pb2, base_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf import duration_pb2

from sampan import ir
from sampan.xds.build.upstream import HTTP_OPTIONS, http_options, tls_context
from sampan.xds.messages import METADATA, Message, ads, boolean, digest, duration, serialized, typed, uint32
from sampan.xds.types import Resource
from sampan.xds.wire import nested, text

# Envoy's own limits (1,024 connections, requests; 3 retries) are for meshes: here they would only refuse good requests.
NO_LIMIT = 0xFFFFFFFF
BUFFER = 32 * 1024
# Kept at most of what many clusters share, and of Services.
SHAPES = 4096

POLICIES = {
    ir.Lb.ROUND_ROBIN: cluster_pb2.Cluster.ROUND_ROBIN,
    ir.Lb.LEAST_REQUEST: cluster_pb2.Cluster.LEAST_REQUEST,
    ir.Lb.RANDOM: cluster_pb2.Cluster.RANDOM,
    ir.Lb.RING_HASH: cluster_pb2.Cluster.RING_HASH,
    ir.Lb.MAGLEV: cluster_pb2.Cluster.MAGLEV,
}


_OWN = ("name", "endpoints", "service", "origin")
_shape_of = attrgetter(*(f.name for f in fields(ir.Cluster) if f.name not in _OWN))


@dataclass(slots=True)
class Clusters:
    """Keeps the shared bytes between calls."""

    _shapes: dict[tuple[object, ...], bytes] = field(default_factory=dict)
    # Of the cluster before, which mostly has the same: to compare is cheaper than to hash.
    _last: tuple[tuple[object, ...], bytes] = ((), b"")

    def resource(self, cluster: ir.Cluster, secrets: frozenset[str]) -> Resource:
        """`secrets`: those of the cluster's that are there."""
        key = (_shape_of(cluster), secrets)
        if self._last[0] != key:
            if len(self._shapes) >= SHAPES:
                self._shapes.clear()
            shared = self._shapes.get(key)
            if shared is None:
                shared = self._shapes[key] = serialized(_shape(cluster, secrets))
            self._last = (key, shared)
        endpoints = nested(3, text(2, cluster.endpoints)) if cluster.endpoints else b""
        body = text(1, cluster.name) + self._last[1] + endpoints + _service(cluster.service)
        origins = (cluster.origin,) if cluster.origin else ()
        return Resource(cluster.name, digest(body).hex(), body, origins, cluster.endpoints)


@lru_cache(SHAPES)
def _service(service: str) -> bytes:
    """Cluster.metadata.filter_metadata["sampan"] = {service: …}: what the answer without endpoints names."""
    if not service:
        return b""
    value = nested(1, text(1, "service") + nested(2, nested(3, service.encode())))
    return nested(25, nested(1, text(1, METADATA) + nested(2, value)))


def _shape(cluster: ir.Cluster, secrets: Container[str]) -> Message:
    made = cluster_pb2.Cluster(
        connect_timeout=duration(cluster.connect_timeout),
        lb_policy=POLICIES[cluster.lb],
        per_connection_buffer_limit_bytes=uint32(BUFFER),
        common_lb_config=cluster_pb2.Cluster.CommonLbConfig(
            # Never send to members that drain because many do: see endpoints.py.
            healthy_panic_threshold=percent_pb2.Percent(value=0),
            # A member that begins to drain is news now, not in a second.
            update_merge_window=duration_pb2.Duration(),
        ),
    )
    _limits(made, cluster)
    if cluster.dns:
        _dns(made, *cluster.dns)
    else:
        made.type = cluster_pb2.Cluster.EDS
        made.eds_cluster_config.eds_config.CopyFrom(ads())
    made.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(typed(http_options(cluster)))
    if cluster.tls:
        context = tls_context(cluster.tls, cluster.http2 and not cluster.http2_auto, secrets)
        socket = base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=typed(context))
        made.transport_socket.CopyFrom(socket)
    return made


def _limits(made: Message, cluster: ir.Cluster) -> None:
    requests = cluster.max_requests or NO_LIMIT
    made.circuit_breakers.thresholds.append(
        circuit_breaker_pb2.CircuitBreakers.Thresholds(
            max_connections=uint32(cluster.max_connections or NO_LIMIT),
            max_pending_requests=uint32(requests),
            max_requests=uint32(requests),
            max_retries=uint32(NO_LIMIT),
        )
    )


def _dns(made: Message, host: str, port: int) -> None:
    """Resolved by the proxy, again and again. Nothing waits for the first answer: a name may not exist yet."""
    made.type = cluster_pb2.Cluster.STRICT_DNS
    made.dns_lookup_family = cluster_pb2.Cluster.V4_PREFERRED
    made.respect_dns_ttl = True
    made.wait_for_warm_on_init.CopyFrom(boolean(False))
    socket = address_pb2.SocketAddress(address=host, port_value=port)
    endpoint = endpoint_components_pb2.Endpoint(address=address_pb2.Address(socket_address=socket))
    member = endpoint_components_pb2.LbEndpoint(endpoint=endpoint)
    made.load_assignment.CopyFrom(
        endpoint_pb2.ClusterLoadAssignment(
            cluster_name=host, endpoints=[endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[member])]
        )
    )
