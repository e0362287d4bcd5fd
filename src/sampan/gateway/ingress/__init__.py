"""The nginx dialect: Ingresses (networking.k8s.io/v1) → the representation. Pure; what did not change is kept.

Each Ingress is compiled on its own (`compile`), all that is said about a host is merged (`hosts`), the hosts are put
together (`assemble`). The endpoints of clusters are named "NAMESPACE/SERVICE/PORT NUMBER" and filled in elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.api.meta import Key, Obj
from sampan.gateway.ingress import classes, hosts
from sampan.gateway.ingress.assemble import assemble
from sampan.gateway.ingress.compile import compiled
from sampan.gateway.ingress.look import CLASSES, CONFIGMAPS, INGRESSES, SECRETS, SERVICES, Look
from sampan.gateway.ingress.model import Compiled, HostPart
from sampan.gateway.ingress.streams import streams
from sampan.gateway.types import NONE, Objects, Ref, Resources, Result

_READ = (SERVICES, SECRETS, CONFIGMAPS)


@dataclass(slots=True)
class Translator:
    """Remembers the last translation and looks only at what changed since, by the identity of objects.

    `_users`: who was compiled with an object, or in its absence.
    """

    _served: frozenset[str] = frozenset()
    _seen: dict[str, Objects] = field(default_factory=dict)
    _compiled: dict[Key, Compiled] = field(default_factory=dict)
    _reads: dict[Key, frozenset[tuple[str, Key]]] = field(default_factory=dict)
    _users: dict[tuple[str, Key], set[Key]] = field(default_factory=dict)
    _said: dict[str, list[tuple[Compiled, HostPart]]] = field(default_factory=dict)
    _hosts: dict[str, hosts.Host] = field(default_factory=dict)
    _statuses: tuple[str, dict[Ref, Obj]] | None = None
    _grown: bool = False

    def translate(self, resources: Resources) -> Result:
        """The same as if there were no memory."""
        touched: set[str] = set()
        for key in self._changed(resources):
            self._again(key, resources, touched)
        for name in touched:
            self._merge(name)
        if self._grown:  # what was there already keeps its place
            self._compiled = dict(sorted(self._compiled.items()))
            self._hosts = dict(sorted(self._hosts.items()))
            self._grown = False
        made, notices = streams(resources, Look(resources))
        found = list(self._compiled.values())
        return assemble(resources, found, self._hosts, made, notices, self._all_statuses(resources.address))

    def _all_statuses(self, address: str) -> dict[Ref, Obj]:
        """Every Ingress has the gateway's address."""
        if self._statuses is None or self._statuses[0] != address:
            status: Obj = {"loadBalancer": {"ingress": [{"ip": address}]} if address else {}}
            self._statuses = (address, {one.ref: status for one in self._compiled.values()})
        return self._statuses[1]

    def _changed(self, resources: Resources) -> set[Key]:
        """The Ingresses to compile: new, changed, gone, or compiled with something that is another now."""
        served = classes.names(resources.of(CLASSES))
        if served != self._served:
            self._served, self._seen = served, {}
        ingresses = resources.of(INGRESSES)
        changed = _differ(self._seen.get(INGRESSES, NONE), ingresses)
        if not self._seen:
            changed |= self._compiled.keys()
        for resource in _READ:
            for key in _differ(self._seen.get(resource, NONE), resources.of(resource)):
                changed |= self._users.get((resource, key), set())
        self._seen = {resource: resources.of(resource) for resource in (INGRESSES, *_READ)}
        return changed

    def _again(self, key: Key, resources: Resources, touched: set[str]) -> None:
        old = self._compiled.get(key)
        for read in self._reads.pop(key, ()):
            self._users[read].discard(key)
        for part in old.parts if old else ():
            self._said[part.host] = [said for said in self._said[part.host] if said[0] is not old]
            touched.add(part.host)
        ingress = resources.of(INGRESSES).get(key)
        if ingress is not None and classes.ours(ingress, self._served):
            self._add(key, ingress, resources, touched)
        elif old is not None:
            del self._compiled[key]
        if (old is None) != (key not in self._compiled):
            self._statuses = None

    def _add(self, key: Key, ingress: Obj, resources: Resources, touched: set[str]) -> None:
        look = Look(resources)
        self._grown |= key not in self._compiled
        made = self._compiled[key] = compiled(ingress, look)
        self._reads[key] = reads = frozenset(look.reads())
        for read in reads:
            self._users.setdefault(read, set()).add(key)
        for part in made.parts:
            self._said.setdefault(part.host, []).append((made, part))
            touched.add(part.host)

    def _merge(self, name: str) -> None:
        """The oldest Ingress goes first."""
        said = self._said[name]
        if said:
            said.sort(key=lambda entry: entry[0].age)
            self._grown |= name not in self._hosts
            self._hosts[name] = hosts.host(name, said)
        else:
            del self._said[name]
            self._hosts.pop(name, None)


def _differ(old: Objects, new: Objects) -> set[Key]:
    if old is new:
        return set()
    return {key for key, obj in new.items() if old.get(key) is not obj} | (old.keys() - new.keys())


def translate(resources: Resources) -> Result:
    """Once, without a memory."""
    return Translator().translate(resources)
