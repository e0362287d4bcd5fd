"""Resources as messages again, parsed when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from google.protobuf import any_pb2, descriptor_pool, message_factory

# The builder imports the classes of all messages that it wraps: without them nothing can be unwrapped.
import sampan.xds.build  # noqa: F401
from sampan.ir import Origin
from sampan.xds import types
from sampan.xds.messages import Message, split_route_name
from sampan.xds.types import Resource, Snapshot

CLASSES = {
    types.CLUSTER: cluster_pb2.Cluster,
    types.ENDPOINTS: endpoint_pb2.ClusterLoadAssignment,
    types.SECRET: secret_pb2.Secret,
    types.LISTENER: listener_pb2.Listener,
    types.ROUTES: route_pb2.RouteConfiguration,
}


def parsed(type_url: str, body: bytes) -> Message:
    """Read-only: others may get the same message."""
    return _table(body) if type_url == types.ROUTES else CLASSES[type_url].FromString(body)


@lru_cache(maxsize=4)
def _table(body: bytes) -> Message:
    """Only these are large, and then large in memory too: the last few are kept."""
    return route_pb2.RouteConfiguration.FromString(body)


def found(snapshot: Snapshot, type_url: str, name: str) -> tuple[Resource, Message] | None:
    resource = snapshot.of(type_url).get(name)
    return (resource, parsed(type_url, resource.body)) if resource else None


@lru_cache(maxsize=256)
def _unpacked(type_url: str, value: bytes) -> Message:
    descriptor = descriptor_pool.Default().FindMessageTypeByName(type_url.rpartition("/")[2])
    return message_factory.GetMessageClass(descriptor).FromString(value)


def unpacked(packed: any_pb2.Any) -> Message | None:
    """None for a message whose class this process has not imported."""
    try:
        return _unpacked(packed.type_url, packed.value)
    except KeyError:
        return None


def origins(table: Resource) -> dict[str, Origin]:
    """By their texts, which is what a route's name carries (`origin_of`)."""
    return {str(origin): origin for origin in table.origins}


def origin_of(route: Message, known: Mapping[str, Origin]) -> Origin | None:
    return known.get(split_route_name(route.name)[1])


def only_origin(resource: Resource) -> Origin | None:
    """Of a resource that was made of one object."""
    return resource.origins[0] if len(resource.origins) == 1 else None
