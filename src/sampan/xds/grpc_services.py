"""What gRPC's own clients ask for: `xds:///web.default.svc.cluster.local:80` as listener, route table and cluster.

Endpoints are the very resources that proxies get. Source: gRFC A27 (names), A28 (what of a route table gRPC reads).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import api_listener_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2

from sampan.ir import Origin
from sampan.xds.build.kept import Kept
from sampan.xds.messages import ads, resource, serialized, typed
from sampan.xds.types import CLUSTER, ENDPOINTS, LISTENER, ROUTES, Resource, Snapshot


@dataclass(frozen=True, slots=True)
class GrpcService:
    """`host` and `port` as clients write them after `xds:///`; `endpoints` is the name of a ClusterLoadAssignment."""

    host: str
    port: int
    endpoints: str
    origin: Origin | None = None

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(slots=True)
class GrpcBuilder:
    """Keeps what it made of a service that did not change."""

    _services: Sequence[GrpcService] = ()
    _kept: Kept[str, GrpcService, tuple[Resource, Resource, Resource]] = field(default_factory=Kept)
    _made: list[dict[str, Resource]] = field(default_factory=lambda: [{}, {}, {}])
    _snapshot: Snapshot = field(default_factory=Snapshot)

    def build(self, services: Sequence[GrpcService], endpoints: Mapping[str, Resource]) -> Snapshot:
        """`endpoints`: those of the proxies' snapshot. The same snapshot when nothing is new."""
        if services is not self._services:
            self._services = services
            made = self._kept.all([(service.authority, service) for service in services], _resources)
            self._made = [{three[i].name: three[i] for three in made} for i in range(3)]
        listeners, tables, clusters = self._made
        mine = {r.endpoints: endpoints[r.endpoints] for r in clusters.values() if r.endpoints in endpoints}
        resources = {CLUSTER: clusters, ENDPOINTS: mine, LISTENER: listeners, ROUTES: tables}
        if resources != self._snapshot.resources:
            self._snapshot = Snapshot(self._snapshot.version + 1, resources)
        return self._snapshot


def _resources(service: GrpcService) -> tuple[Resource, Resource, Resource]:
    return _listener(service), _table(service), _cluster(service)


def _listener(service: GrpcService) -> Resource:
    manager = hcm_pb2.HttpConnectionManager(
        rds=hcm_pb2.Rds(config_source=ads(), route_config_name=service.authority),
        http_filters=[hcm_pb2.HttpFilter(name="router", typed_config=typed(router_pb2.Router()))],
    )
    message = listener_pb2.Listener(
        name=service.authority, api_listener=api_listener_pb2.ApiListener(api_listener=typed(manager))
    )
    return resource(service.authority, serialized(message), (service.origin,))


def _table(service: GrpcService) -> Resource:
    route = route_components_pb2.Route(
        match=route_components_pb2.RouteMatch(prefix=""),
        route=route_components_pb2.RouteAction(cluster=service.authority),
    )
    host = route_components_pb2.VirtualHost(name="all", domains=["*"], routes=[route])
    message = route_pb2.RouteConfiguration(name=service.authority, virtual_hosts=[host])
    return resource(service.authority, serialized(message), (service.origin,))


def _cluster(service: GrpcService) -> Resource:
    message = cluster_pb2.Cluster(
        name=service.authority,
        type=cluster_pb2.Cluster.EDS,
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=ads(), service_name=service.endpoints),
        lb_policy=cluster_pb2.Cluster.ROUND_ROBIN,
    )
    return resource(service.authority, serialized(message), (service.origin,), service.endpoints)
