"""A Gateway with its ListenerSets, read and judged once for all routes that name it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sampan import ir
from sampan.api import meta, selectors
from sampan.api.meta import Key, Obj
from sampan.gateway.gatewayapi import listeners
from sampan.gateway.gatewayapi.listeners import Clients, Listener
from sampan.gateway.gatewayapi.memo import View
from sampan.gateway.gatewayapi.names import GATEWAYS, SETS, age, ref
from sampan.gateway.gatewayapi.references import From, Wrong, certificate
from sampan.gateway.types import Ref


@dataclass(frozen=True, slots=True, eq=False)
class Set:
    """A ListenerSet that names this Gateway. `refused`: why it does not count."""

    obj: Obj
    listeners: tuple[Listener, ...]
    refused: Wrong | None = None

    @property
    def accepted(self) -> bool:
        return self.refused is None and any(one.accepted for one in self.listeners)


@dataclass(frozen=True, slots=True, eq=False)
class Gateway:
    """`certificate`: what it shows to backends. `refused`: why it is not served at all."""

    key: Key
    obj: Obj
    listeners: tuple[Listener, ...]
    sets: tuple[Set, ...]
    clients: dict[int, Clients]
    certificate: ir.Secret | None
    unresolved: tuple[Wrong, ...]
    refused: Wrong | None

    @property
    def accepted(self) -> bool:
        return self.refused is None and any(one.accepted for one in self.all_listeners())

    def all_listeners(self) -> Iterator[Listener]:
        """In the order of precedence."""
        yield from self.listeners
        for one in self.sets:
            if one.refused is None:
                yield from one.listeners

    def refused_set(self, parent: Ref) -> Wrong | None:
        return next((one.refused for one in self.sets if ref(SETS, one.obj) == parent), None)

    def of(self, parent: Ref) -> tuple[Listener, ...]:
        """The listeners that stand in the Gateway or in one of its ListenerSets."""
        return tuple(one for one in self.all_listeners() if one.parent == parent)


def read(view: View, obj: Obj) -> Gateway:
    """Everything but what routes and the world make of it."""
    spec, key = obj["spec"], meta.key(obj)
    clients = listeners.clients_of(view, key, spec)
    groups = [listeners.read(view, ref(GATEWAYS, obj), "Gateway", spec.get("listeners") or [], clients)]
    attached: list[tuple[Obj, Wrong | None]] = []
    for one in sorted(view.all(f"of-gateway/{SETS}", key), key=age):
        attached.append((one, None if _allowed(view, obj, one) else _NOT_ALLOWED))
    allowed = [one for one, wrong in attached if wrong is None]
    for one in allowed:
        groups.append(listeners.read(view, ref(SETS, one), "ListenerSet", one["spec"]["listeners"], clients))
    settled = listeners.settle(groups)
    of_sets = {meta.key(one): group for one, group in zip(allowed, settled[1:], strict=True)}
    shown, unresolved = _certificate(view, key, spec)
    return Gateway(
        key,
        obj,
        settled[0],
        tuple(Set(one, of_sets.get(meta.key(one), ()), wrong) for one, wrong in attached),
        clients,
        shown,
        unresolved,
        _refused(spec),
    )


_NOT_ALLOWED = Wrong("NotAllowed", "the Gateway's spec.allowedListeners does not allow ListenerSets of this namespace")


def _allowed(view: View, gateway: Obj, one: Obj) -> bool:
    namespaces = (gateway["spec"].get("allowedListeners") or {}).get("namespaces") or {}
    return admits(view, namespaces.get("from", "None"), namespaces, meta.namespace(gateway), meta.namespace(one))


def admits(view: View, chosen: str, namespaces: Obj, home: str, namespace: str) -> bool:
    """Does a `from` (All, Same, Selector, None) with its selector let objects of the namespace in?"""
    if chosen == "Selector":
        found = view.get("namespaces", "", namespace)
        labels = meta.labels(found) if found else {}
        return found is not None and selectors.from_object(namespaces.get("selector")).matches(labels)
    return chosen == "All" or (chosen == "Same" and home == namespace)


def _certificate(view: View, key: Key, spec: Obj) -> tuple[ir.Secret | None, tuple[Wrong, ...]]:
    named = ((spec.get("tls") or {}).get("backend") or {}).get("clientCertificateRef")
    if not named:
        return None, ()
    found = certificate(view, From("Gateway", key.namespace), named, "InvalidClientCertificateRef")
    return (None, (found,)) if isinstance(found, Wrong) else (found, ())


def _refused(spec: Obj) -> Wrong | None:
    for address in spec.get("addresses") or ():
        if address.get("type", "IPAddress") != "IPAddress":
            text = f"addresses of type {address['type']} are not supported, those of type IPAddress are"
            return Wrong("UnsupportedAddress", text)
    if named := (spec.get("infrastructure") or {}).get("parametersRef"):
        return Wrong("InvalidParameters", f"parameters are not supported: {named['kind']} {named['name']}")
    return None
