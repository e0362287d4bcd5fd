"""Which routes come to which listeners, and what is said to those that do not."""

from __future__ import annotations

from dataclasses import dataclass

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.gateway.gatewayapi.gateways import Gateway, admits
from sampan.gateway.gatewayapi.hostnames import intersection
from sampan.gateway.gatewayapi.listeners import Listener
from sampan.gateway.gatewayapi.memo import View
from sampan.gateway.gatewayapi.names import GROUP, KINDS, PARENTS
from sampan.gateway.gatewayapi.references import Wrong
from sampan.gateway.types import Ref


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """A route at a listener, for these host names."""

    gateway: Gateway
    listener: Listener
    hostnames: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Parent:
    """One of our parents that a route names. `refused`: why it gets nothing from it."""

    reference: Obj
    gateway: Gateway
    bindings: tuple[Binding, ...]
    refused: Wrong | None


def attach(view: View, resource: str, route: Obj) -> tuple[Parent, ...]:
    """The parents that are ours, in the order of spec.parentRefs."""
    found = []
    for reference in route["spec"].get("parentRefs") or ():
        target = parent_of(reference, meta.namespace(route))
        gateway: Gateway | None = view.read("gateway-of", target) if target else None
        if target and gateway:
            found.append(_one(view, resource, route, reference, target, gateway))
    return tuple(found)


def parent_of(reference: Obj, namespace: str) -> Ref | None:
    """None for kinds that are no Gateways: Services are the mesh's."""
    kind = reference.get("kind", "Gateway")
    if reference.get("group", GROUP) != GROUP or kind not in PARENTS:
        return None
    return Ref(PARENTS[kind], reference.get("namespace") or namespace, reference["name"])


def _one(view: View, resource: str, route: Obj, reference: Obj, target: Ref, gateway: Gateway) -> Parent:
    section, port = reference.get("sectionName"), reference.get("port")
    named = [one for one in gateway.of(target) if section in (None, "", one.name) and port in (None, one.port)]
    if not named:
        if closed := gateway.refused_set(target):
            return Parent(
                reference, gateway, (), Wrong("NoMatchingParent", f"the ListenerSet is not accepted: {closed.message}")
            )
        what = " and ".join(([f"named {section}"] if section else []) + ([f"on port {port}"] if port else []))
        return Parent(reference, gateway, (), Wrong("NoMatchingParent", f"there is no listener {what}".rstrip()))
    kind, namespace = KINDS[resource], meta.namespace(route)
    open_to = [one for one in named if kind in one.kinds and _admits(view, one, namespace)]
    if not open_to:
        text = f"no listener takes {kind}s of namespace {namespace}: see allowedRoutes"
        return Parent(reference, gateway, (), Wrong("NotAllowedByListeners", text))
    working = [one for one in open_to if one.accepted]
    if gateway.refused or not working:
        return Parent(reference, gateway, (), Wrong("NoMatchingParent", _why(gateway, open_to)))
    names = route["spec"].get("hostnames") or ()
    bindings = tuple(Binding(gateway, one, met) for one in working if (met := intersection(one.hostname, names)))
    if not bindings:
        text = f"no listener is for {', '.join(names)}: they are for {', '.join(one.hostname for one in working)}"
        return Parent(reference, gateway, (), Wrong("NoMatchingListenerHostname", text))
    return Parent(reference, gateway, bindings, None)


def _admits(view: View, one: Listener, namespace: str) -> bool:
    return admits(view, one.allowed.get("from", "Same"), one.allowed, one.parent.namespace, namespace)


def _why(gateway: Gateway, listeners: list[Listener]) -> str:
    if gateway.refused:
        return f"the Gateway is not accepted: {gateway.refused.message}"
    reasons = (f"{one.name}: {(one.refused or one.conflict or Wrong('', '')).message}" for one in listeners)
    return f"no listener is accepted; {'; '.join(reasons)}"
