"""What the translators of the edge are given and what they return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from sampan.api.meta import Key, Obj
from sampan.ir import Cluster, Endpoints, Listener, RouteTable, Secret

Objects = Mapping[Key, Obj]
NONE: Objects = MappingProxyType({})
MOST = 0xFFFFFFFF
"""That Envoy can count: larger numbers of users mean the same."""


class Ref(NamedTuple):
    """An object of the user: `resource` as kubectl writes it."""

    resource: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Resources:
    """A frozen look at the cluster: resource → its objects by key. Objects that did not change are the same objects,
    so what was made of them may be kept by identity.

    `address`: of the Service in front of the Ingress listeners ("" not yet). `ports`: the container port of the proxy
    for each (Gateway key, port) and, under the key ("", ""), those of the Ingress listeners. `default_certificate`:
    what the Ingress listeners show for hosts without one; None is no HTTPS for those. `outside`: the ports of this
    machine that lead to the Ingress listeners, HTTP and HTTPS; 0 is none.
    """

    objects: Mapping[str, Objects]
    address: str = ""
    ports: Mapping[tuple[Key, int], int] = field(default_factory=dict)
    default_certificate: Secret | None = None
    outside: tuple[int, int] = (80, 443)

    def of(self, resource: str) -> Objects:
        """{} for a resource that is not served."""
        return self.objects.get(resource, NONE)


class Notice(NamedTuple):
    """Something to say about one object to the person who wrote it: an event, by default of what is wrong with it.

    `component` is who says it: the name of the controller that users know for this dialect.
    """

    about: Ref
    reason: str
    message: str
    type: str = "Warning"
    component: str = "sampan-gateway"


@dataclass(frozen=True, slots=True)
class Result:
    """What a translator made. `statuses`: the whole `status` each object shall have.

    Names of listeners, tables, clusters and secrets are unique over all dialects: each prefixes its own.
    """

    listeners: Mapping[str, Listener] = field(default_factory=dict)
    tables: Mapping[str, RouteTable] = field(default_factory=dict)
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    endpoints: Mapping[str, Endpoints] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    statuses: Mapping[Ref, Obj] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
