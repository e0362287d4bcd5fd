"""What the rooms of xDS hand to each other: resources as bytes, serialised once for all proxies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sampan.ir import Origin

# Type URLs, in the order a change is sent (make before break): what is referred to comes before what refers to it.
CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINTS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
TYPES = (CLUSTER, ENDPOINTS, SECRET, LISTENER, ROUTES)


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource. `body` is the serialised message (not the Any around it), `version` a hash of it.

    `origins`: the users' objects it was made of, the ones to blame for a NACK; some may be there twice. `endpoints`: of
    a cluster, the name of its ClusterLoadAssignment: a proxy that gets the cluster anew waits for those to be sent
    again.
    """

    name: str
    version: str
    body: bytes
    origins: tuple[Origin, ...] = ()
    endpoints: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything one kind of proxy shall have: type URL → name → resource. `version` grows with every change."""

    version: int = 0
    resources: Mapping[str, Mapping[str, Resource]] = field(default_factory=dict)

    def of(self, type_url: str) -> Mapping[str, Resource]:
        return self.resources.get(type_url, MappingProxyType({}))
