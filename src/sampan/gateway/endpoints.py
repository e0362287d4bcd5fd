"""Services and EndpointSlices → who stands behind "NAMESPACE/SERVICE/PORT NUMBER", kept up as they change.

The fast path of the edge: a pod that comes or goes changes these and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sampan.api import meta
from sampan.api.endpoints import endpoints_of, service_of
from sampan.api.meta import Key, Obj
from sampan.ir import Endpoint, Endpoints


def resolve(name: str, service: Obj | None, slices: Iterable[Obj]) -> Endpoints:
    """The members of the port that `name` ends in; none when there is no such Service or port. Pure.

    The ready ones get traffic. Those that terminate but still serve are draining: used when nobody else is left.
    """
    number = name.rpartition("/")[2]
    port = next((p for p in ((service or {}).get("spec") or {}).get("ports") or () if str(p["port"]) == number), None)
    if port is None:
        return Endpoints(name, ())
    return Endpoints(
        name,
        tuple(
            Endpoint(e.ip, e.port, zone=e.node, draining=not e.ready)
            for e in endpoints_of(port, slices)
            if e.ready or (e.serving and e.terminating)
        ),
    )


def service_key(name: str) -> Key:
    """The Service that the name of some Endpoints belongs to."""
    namespace, service, _ = name.split("/")
    return Key(namespace, service)


def service_ports(services: Iterable[Obj]) -> Iterator[tuple[Obj, int, str]]:
    """(Service, port number, name of its Endpoints) for all TCP ports with endpoints of their own."""
    for service in services:
        spec = service["spec"]
        for port in spec.get("ports") or () if spec.get("type") != "ExternalName" else ():
            if (port.get("protocol") or "TCP") == "TCP":
                yield service, port["port"], f"{meta.namespace(service)}/{meta.name(service)}/{port['port']}"


class EndpointIndex:
    """What informers' handlers tell, and what follows from it for the names that are in use."""

    def __init__(self) -> None:
        self._services: dict[Key, Obj] = {}
        self._slices: dict[Key, dict[Key, Obj]] = {}
        self._owner: dict[Key, Key] = {}
        self._names: dict[Key, set[str]] = {}
        self._known: dict[str, Endpoints] = {}

    def use(self, names: Iterable[str]) -> dict[str, Endpoints]:
        """From now on these names are in use, and no others. Returns what each stands for."""
        wanted = set(names)
        if wanted != self._known.keys():
            self._names = {}
            for name in wanted:
                self._names.setdefault(service_key(name), set()).add(name)
            self._known = {name: self._known.get(name) or self._resolve(name) for name in wanted}
        return dict(self._known)

    def service_changed(self, old: Obj | None, new: Obj | None) -> dict[str, Endpoints]:
        """An informer's handler for Services. Returns the names whose members are others now."""
        key = meta.key(new or old or {})
        if new is None:
            self._services.pop(key, None)
        else:
            self._services[key] = new
        return self._again(key)

    def slice_changed(self, old: Obj | None, new: Obj | None) -> dict[str, Endpoints]:
        """An informer's handler for EndpointSlices, which may move to another Service. Returns the same."""
        key = meta.key(new or old or {})
        changed: dict[str, Endpoints] = {}
        before = self._owner.pop(key, None)
        if before is not None:
            self._slices[before].pop(key)
            if not self._slices[before]:
                del self._slices[before]
        if new is not None:
            owner = service_of(new)
            self._owner[key] = owner
            self._slices.setdefault(owner, {})[key] = new
            changed |= self._again(owner)
        if before is not None and self._owner.get(key) != before:
            changed |= self._again(before)
        return changed

    def _again(self, service: Key) -> dict[str, Endpoints]:
        changed: dict[str, Endpoints] = {}
        for name in self._names.get(service, ()):
            now = self._resolve(name)
            if now != self._known.get(name):
                self._known[name] = changed[name] = now
        return changed

    def _resolve(self, name: str) -> Endpoints:
        key = service_key(name)
        return resolve(name, self._services.get(key), self._slices.get(key, {}).values())
