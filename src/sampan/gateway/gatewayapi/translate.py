"""Gateway API → what the proxy shall do, and the statuses of all objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sampan import ir
from sampan.api import meta
from sampan.api.gatewayapi import CLASSES, CONTROLLER
from sampan.api.meta import Key, Obj
from sampan.gateway.gatewayapi import gateways, policies, proxies, routes, statuses
from sampan.gateway.gatewayapi.attach import attach
from sampan.gateway.gatewayapi.gateways import Gateway
from sampan.gateway.gatewayapi.indexes import Indexes
from sampan.gateway.gatewayapi.listeners import Listener
from sampan.gateway.gatewayapi.memo import Memo, View
from sampan.gateway.gatewayapi.names import (
    GATEWAY_LABEL,
    GATEWAYS,
    POLICIES,
    ROUTES,
    SETS,
    label_value,
    ref,
    service_name,
)
from sampan.gateway.gatewayapi.references import Wrong
from sampan.gateway.gatewayapi.rivals import Candidate, rivals
from sampan.gateway.types import Ref, Resources, Result

_PLAIN: Final = ("services", "secrets", "configmaps", "namespaces")


def ours(resources: Resources) -> dict[Key, Obj]:
    """The Gateways of classes that name this controller."""
    classes = {
        key.name for key, obj in resources.of(CLASSES).items() if obj["spec"].get("controllerName") == CONTROLLER
    }
    return {key: obj for key, obj in resources.of(GATEWAYS).items() if obj["spec"].get("gatewayClassName") in classes}


@dataclass(slots=True)
class Gateways:
    """Only the Gateways of ours, with a memory of its own."""

    _memo: Memo = field(default_factory=Memo)
    _indexes: Indexes = field(default_factory=Indexes)

    def of(self, resources: Resources) -> dict[Key, Gateway]:
        return _gateways(View(self._memo), self._memo, self._indexes, resources)


def _gateways(view: View, memo: Memo, indexes: Indexes, resources: Resources) -> dict[Key, Gateway]:
    memo.next_turn()
    for name, groups in indexes.update(resources).items():
        memo.source(name, groups)
    for resource in _PLAIN:
        memo.source(resource, resources.of(resource))
    return {key: view.once(("gateway", key), gateways.read, obj) for key, obj in ours(resources).items()}


@dataclass(slots=True)
class Translator:
    """A pure function with a memory: the results depend on the resources alone, the time on what changed."""

    _memo: Memo = field(default_factory=Memo)
    _indexes: Indexes = field(default_factory=Indexes)

    def translate(self, resources: Resources) -> Result:
        view = View(self._memo)
        found = _gateways(view, self._memo, self._indexes, resources)
        targets = {Ref(GATEWAYS, *key): gateway for key, gateway in found.items()}
        for gateway in found.values():
            targets |= {ref(SETS, one.obj): gateway for one in gateway.sets}
        self._memo.source("gateway-of", targets)
        return _Run(resources, view, found).result()


class _Run:
    """One translation."""

    def __init__(self, resources: Resources, view: View, found: dict[Key, Gateway]) -> None:
        self.resources = resources
        self.view = view
        self.gateways = found
        self.attached: dict[Listener, proxies.Attached] = {}
        self.counts: dict[tuple[object, str], int] = {}
        self.users: dict[Key, set[Key]] = {}  # Service → Gateways that send to it
        self.clusters: dict[str, ir.Cluster] = {}
        self.made = proxies.Made()
        self.statuses: dict[Ref, Obj] = {}

    def result(self) -> Result:
        refused = self._rivals()
        for resource in ROUTES.values():
            for key, obj in self.resources.of(resource).items():
                before = (obj.get("status") or {}).get("parents")
                against = refused.get((resource, key))
                name = ("route", resource, key)
                self._take(Ref(resource, *key), self.view.once(name, routes.read, resource, obj, before, against))
        for gateway in self.gateways.values():
            if not gateway.refused:
                proxies.build(self.view, gateway, self.resources.ports, self.attached, self.made)
        self._statuses()
        made = self.made
        return Result(made.listeners, made.tables, self.clusters, {}, made.secrets, self.statuses)

    def _rivals(self) -> dict[tuple[str, Key], Wrong]:
        kinds = [ROUTES["HTTPRoute"], ROUTES["GRPCRoute"]]
        if not all(self.resources.of(resource) for resource in kinds):
            return {}
        return rivals(
            Candidate(resource, key, obj, self.view.once(("attach", resource, key), attach, resource, obj))
            for resource in kinds
            for key, obj in self.resources.of(resource).items()
        )

    def _take(self, about: Ref, route: routes.Route) -> None:
        self._say(about, route.status)
        for place in route.places:
            listener = place.listener
            found = self.attached.get(listener)
            if found is None:
                found = self.attached[listener] = proxies.Attached()
            found.add(place)
            at = (listener.parent, listener.name)
            self.counts[at] = self.counts.get(at, 0) + 1
        for part, gateway in route.parts:
            self.clusters.update(part.clusters)
            self.made.secrets.update(part.secrets)
            for service in part.services:
                self.users.setdefault(service, set()).add(gateway)

    # -- statuses

    def _say(self, about: Ref, status: Obj | None) -> None:
        if status is not None:
            self.statuses[about] = status

    def _statuses(self) -> None:
        for key, gateway in self.gateways.items():
            self._gateway_statuses(key, gateway)
        for key, obj in self.resources.of(POLICIES).items():
            targets = [Key(key.namespace, target["name"]) for target in obj["spec"]["targetRefs"]]
            users = set[Key]().union(*(self.users.get(target, ()) for target in targets))
            policy = policies.read(self.view, obj)
            status = statuses.of_policy(obj, policy, policies.overruled(self.view, obj), users)
            self._say(Ref(POLICIES, *key), status)

    def _gateway_statuses(self, key: Key, gateway: Gateway) -> None:
        ports = self.resources.ports
        ported = all((key, one.port) in ports for one in gateway.all_listeners() if one.accepted)
        obj = self.resources.of(GATEWAYS)[key]
        addresses = addresses_of(self.resources, key)
        self._say(Ref(GATEWAYS, *key), statuses.of_gateway(gateway, obj, addresses, ported, self.counts))
        for one in gateway.sets:
            about = ref(SETS, one.obj)
            fresh = self.resources.of(SETS)[meta.key(one.obj)]
            self._say(about, statuses.of_set(one, fresh, gateway, ported, self.counts))


def addresses_of(resources: Resources, key: Key) -> tuple[str, ...]:
    """Of the Service that stands in front of a Gateway."""
    service = resources.of("services").get(Key(key.namespace, service_name(key.name)))
    if service is None or meta.labels(service).get(GATEWAY_LABEL) != label_value(key.name):
        return ()
    entries = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return tuple(str(entry["ip"]) for entry in entries if entry.get("ip"))
