"""Resources as messages again: parsed when somebody asks, and kept for the next who ask."""

from __future__ import annotations

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


@lru_cache(maxsize=256)
def parsed(type_url: str, body: bytes) -> Message:
    """Read-only: others get the same message."""
    return CLASSES[type_url].FromString(body)


def found(snapshot: Snapshot, type_url: str, name: str) -> tuple[Resource, Message] | None:
    resource = snapshot.of(type_url).get(name)
    return (resource, parsed(type_url, resource.body)) if resource else None


@lru_cache(maxsize=4096)
def _unpacked(type_url: str, value: bytes) -> Message:
    descriptor = descriptor_pool.Default().FindMessageTypeByName(type_url.rpartition("/")[2])
    return message_factory.GetMessageClass(descriptor).FromString(value)


def unpacked(packed: any_pb2.Any) -> Message | None:
    """None for a message whose class this process has not imported."""
    try:
        return _unpacked(packed.type_url, packed.value)
    except KeyError:
        return None


def origin_of(resource: Resource, message: Message) -> Origin | None:
    """A route's name carries the text of its origin; the object itself is among those of its table."""
    return _by_text(resource.origins).get(split_route_name(message.name)[1])


@lru_cache(maxsize=16)
def _by_text(origins: tuple[Origin, ...]) -> dict[str, Origin]:
    return {str(origin): origin for origin in origins}


def only_origin(resource: Resource) -> Origin | None:
    """Of a resource that was made of one object."""
    return resource.origins[0] if len(resource.origins) == 1 else None
