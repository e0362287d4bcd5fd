"""Gateway API → what the proxy shall do, and the statuses of all objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from sampan import ir
from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.gateway.gatewayapi import gateways, policies, proxies, rules, statuses, streams
from sampan.gateway.gatewayapi.attach import Parent, attach
from sampan.gateway.gatewayapi.gateways import Gateway
from sampan.gateway.gatewayapi.indexes import Indexes
from sampan.gateway.gatewayapi.listeners import Listener
from sampan.gateway.gatewayapi.memo import Memo, Source, View
from sampan.gateway.gatewayapi.names import (
    CLASSES,
    CONTROLLER,
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

_HTTP: Final = (ROUTES["HTTPRoute"], ROUTES["GRPCRoute"])
_About = tuple[tuple[Wrong, ...], tuple[str, ...], bool]  # references that fail, rules left out, is any rule left


def ours(resources: Resources) -> dict[Key, Obj]:
    """The Gateways of classes that name this controller."""
    classes = {
        key.name for key, obj in resources.of(CLASSES).items() if obj["spec"].get("controllerName") == CONTROLLER
    }
    return {key: obj for key, obj in resources.of(GATEWAYS).items() if obj["spec"].get("gatewayClassName") in classes}


def class_statuses(resources: Resources) -> dict[Ref, Obj]:
    return {
        Ref(CLASSES, *key): statuses.of_class(obj)
        for key, obj in resources.of(CLASSES).items()
        if obj["spec"].get("controllerName") == CONTROLLER
    }


@dataclass(slots=True)
class Translator:
    """A pure function with a memory: the results depend on the resources alone, the time on what changed."""

    _memo: Memo = field(default_factory=Memo)
    _indexes: Indexes = field(default_factory=Indexes)

    def translate(self, resources: Resources) -> Result:
        self._memo.next_turn()
        return _Run(resources, self._memo, self._indexes).result()


@dataclass(slots=True)
class Gateways:
    """Only the Gateways of ours, with a memory of its own."""

    _memo: Memo = field(default_factory=Memo)
    _indexes: Indexes = field(default_factory=Indexes)

    def of(self, resources: Resources) -> dict[Key, Gateway]:
        self._memo.next_turn()
        return _Run(resources, self._memo, self._indexes).gateways


class _Run:
    """One translation."""

    def __init__(self, resources: Resources, memo: Memo, indexes: Indexes) -> None:
        self.resources = resources
        groups = indexes.update(resources)
        sources: dict[str, Source] = {name: _group(found) for name, found in groups.items()}
        for resource in ("services", "secrets", "configmaps", "namespaces"):
            sources[resource] = resources.of(resource).get
        self.view = View(sources, memo)
        self.objects = ours(resources)
        self.gateways = {key: self.view.once(("gateway", key), gateways.read, obj) for key, obj in self.objects.items()}
        targets = {Ref(GATEWAYS, *key): gateway for key, gateway in self.gateways.items()}
        for gateway in self.gateways.values():
            targets |= {ref(SETS, one.obj): gateway for one in gateway.sets}
        sources["gateway-of"] = targets.get
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
                self._route(resource, key, obj, refused)
        for gateway in self.gateways.values():
            if not gateway.refused:
                proxies.build(self.view, gateway, self.resources.ports, self.attached, self.made)
        self._statuses()
        made = self.made
        return Result(made.listeners, made.tables, self.clusters, {}, made.secrets, self.statuses)

    def _parents(self, resource: str, key: Key, obj: Obj) -> tuple[Parent, ...]:
        return self.view.once(("attach", resource, key), attach, resource, obj)

    # -- routes

    def _rivals(self) -> dict[tuple[str, Key], Wrong]:
        if not all(self.resources.of(resource) for resource in _HTTP):
            return {}
        return rivals(
            Candidate(resource, key, obj, self._parents(resource, key, obj))
            for resource in _HTTP
            for key, obj in self.resources.of(resource).items()
        )

    def _route(self, resource: str, key: Key, obj: Obj, rivals: dict[tuple[str, Key], Wrong]) -> None:
        parents = self._parents(resource, key, obj)
        if not parents:
            if (obj.get("status") or {}).get("parents"):
                self._say(resource, key, statuses.of_route(obj, (), (), (), True))
            return
        against = rivals.get((resource, key))
        if resource in _HTTP:
            one = self._http(resource, key, obj, parents, against)
        else:
            one = self._stream(resource, key, obj, parents)
        before = (obj.get("status") or {}).get("parents")
        said = ("status", resource, key)
        self._say(resource, key, self.view.once(said, _status, obj, before, parents, against, *one))

    def _http(self, resource: str, key: Key, obj: Obj, parents: tuple[Parent, ...], against: Wrong | None) -> _About:
        plain = self.view.once(("rules", resource, key, rules.Context()), rules.compile, resource, obj, rules.Context())
        if against or not plain.complete:
            return plain.wrong, plain.dropped, plain.complete
        for parent in parents:
            certificate = parent.gateway.certificate.name if parent.gateway.certificate else ""
            for binding in parent.bindings:
                listener = binding.listener
                context = rules.Context("https" if listener.terminates else "http", listener.port, certificate)
                name = ("rules", resource, key, context)
                compiled = self.view.once(name, rules.compile, resource, obj, context)
                self._attach(listener).routes.append((binding.hostnames, compiled))
                self._counted(parent, listener, compiled)
        return plain.wrong, plain.dropped, True

    def _stream(self, resource: str, key: Key, obj: Obj, parents: tuple[Parent, ...]) -> _About:
        wrong: tuple[Wrong, ...] = ()
        for parent in parents:
            certificate = parent.gateway.certificate.name if parent.gateway.certificate else ""
            name = ("stream", resource, key, certificate)
            stream = self.view.once(name, streams.compile, resource, obj, certificate)
            wrong = stream.wrong
            for binding in parent.bindings:
                self._attach(binding.listener).streams.append((binding.hostnames, stream))
                self._counted(parent, binding.listener, stream)
        return wrong, (), True

    def _attach(self, listener: Listener) -> proxies.Attached:
        return self.attached.setdefault(listener, proxies.Attached())

    def _counted(self, parent: Parent, listener: Listener, part: rules.Compiled | streams.Stream) -> None:
        place = (listener.parent, listener.name)
        self.counts[place] = self.counts.get(place, 0) + 1
        self.clusters |= part.clusters
        self.made.secrets |= part.secrets
        for service in part.services:
            self.users.setdefault(service, set()).add(parent.gateway.key)

    # -- statuses

    def _say(self, resource: str, key: Key, status: Obj | None) -> None:
        if status is not None:
            self.statuses[Ref(resource, *key)] = status

    def _statuses(self) -> None:
        self.statuses |= class_statuses(self.resources)
        for key, gateway in self.gateways.items():
            self._gateway_statuses(key, gateway)
        for key, obj in self.resources.of(POLICIES).items():
            targets = [Key(key.namespace, target["name"]) for target in obj["spec"]["targetRefs"]]
            users = set[Key]().union(*(self.users.get(target, ()) for target in targets))
            policy = policies.read(self.view, obj)
            self._say(POLICIES, key, statuses.of_policy(obj, policy, policies.overruled(self.view, obj), users))

    def _gateway_statuses(self, key: Key, gateway: Gateway) -> None:
        ports = self.resources.ports
        ported = all((key, one.port) in ports for one in gateway.all_listeners() if one.accepted)
        obj = self.objects[key]
        addresses = addresses_of(self.resources, key)
        self._say(GATEWAYS, key, statuses.of_gateway(gateway, obj, addresses, ported, self.counts))
        for one in gateway.sets:
            name = meta.key(one.obj)
            fresh = self.resources.of(SETS)[name]
            self._say(SETS, name, statuses.of_set(one, fresh, gateway, ported, self.counts))


def _status(
    view: View,
    obj: Obj,
    before: list[Obj] | None,
    parents: tuple[Parent, ...],
    against: Wrong | None,
    wrong: tuple[Wrong, ...],
    dropped: tuple[str, ...],
    some: bool,
) -> Obj | None:
    """`before`: the parents in its status, whose change counts here as nowhere else."""
    return statuses.of_route(obj, [(parent, against) for parent in parents], wrong, dropped, some)


def _group(found: dict[Any, tuple[Obj, ...]]) -> Source:
    return lambda key: found.get(key, ())


def addresses_of(resources: Resources, key: Key) -> tuple[str, ...]:
    """Of the Service that stands in front of a Gateway."""
    service = resources.of("services").get(Key(key.namespace, service_name(key.name)))
    if service is None or meta.labels(service).get(GATEWAY_LABEL) != label_value(key.name):
        return ()
    entries = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return tuple(str(entry["ip"]) for entry in entries if entry.get("ip"))
