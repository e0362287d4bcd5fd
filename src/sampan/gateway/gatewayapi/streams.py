"""TLSRoutes, TCPRoutes and UDPRoutes: where the bytes of a connection go."""

from __future__ import annotations

from dataclasses import dataclass

from sampan import ir
from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.gateway.gatewayapi.backends import Found, Way, cluster
from sampan.gateway.gatewayapi.memo import View
from sampan.gateway.gatewayapi.names import KINDS, age
from sampan.gateway.gatewayapi.references import From, Wrong


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One route. Of several rules, which only older versions allow, the first that has a backend counts."""

    target: ir.Tcp
    clusters: dict[str, ir.Cluster]
    secrets: dict[str, ir.Secret]
    services: frozenset[Key]
    wrong: tuple[Wrong, ...]
    age: tuple[str, str, str]


def compile(view: View, resource: str, obj: Obj, certificate: str) -> Stream:
    by, found = From(KINDS[resource], meta.namespace(obj)), Found()
    way = Way(plain=True, certificate=certificate)
    rules = obj["spec"].get("rules") or ()
    each = [
        tuple(
            ir.Weighted(cluster(view, by, ref, way, found), ref.get("weight", 1))
            for ref in rule.get("backendRefs") or ()
        )
        for rule in rules
    ]
    targets = next((targets for targets in each if any(one.cluster for one in targets)), ())
    if not any(one.weight for one in targets):
        targets = ()
    origin = ir.Origin(resource, *meta.key(obj))
    tcp = ir.Tcp(targets, origin=origin)
    return Stream(
        tcp,
        found.clusters,
        found.secrets,
        frozenset(found.services),
        tuple(dict.fromkeys(found.wrong)),
        age(obj),
    )
