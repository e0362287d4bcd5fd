"""The nginx dialect: Ingresses (networking.k8s.io/v1) → the representation. Pure; what did not change is kept.

Each Ingress is compiled on its own (`compile`), all that is said about a host is merged (`hosts`), what came of both is
gathered and put together (`assemble`). The endpoints of clusters are named "NAMESPACE/SERVICE/PORT NUMBER" and filled
in elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.api.meta import Key, Obj
from sampan.gateway.ingress import classes, hosts
from sampan.gateway.ingress.assemble import Parts, assemble
from sampan.gateway.ingress.compile import compiled, reads_the_same
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
    _outside: tuple[int, int] = (80, 443)
    _seen: dict[str, Objects] = field(default_factory=dict)
    _compiled: dict[Key, Compiled] = field(default_factory=dict)
    _reads: dict[Key, frozenset[tuple[str, Key]]] = field(default_factory=dict)
    _users: dict[tuple[str, Key], set[Key]] = field(default_factory=dict)
    _said: dict[str, list[tuple[Compiled, HostPart]]] = field(default_factory=dict)
    _parts: Parts = field(default_factory=Parts)
    _statuses: dict[Ref, Obj] = field(default_factory=dict)
    _status: Obj = field(default_factory=dict)
    _last: tuple[object, Result] | None = None

    def translate(self, resources: Resources) -> Result:
        """The same as if there were no memory; the same object when nothing else comes of it."""
        touched: set[str] = set()
        changed = self._changed(resources)
        for key in sorted(changed):
            self._again(key, resources, touched)
        for name in sorted(touched):
            self._merge(name, resources.outside)
        self._give(resources.address)
        made, notices = streams(resources, Look(resources))
        around = (resources.address, resources.ports, resources.default_certificate, made, notices)
        if changed or self._last is None or self._last[0] != around:
            result = assemble(resources, self._parts, made, notices, self._statuses.copy())
            self._last = (around, result)
        return self._last[1]

    def _give(self, address: str) -> None:
        """Every Ingress has the gateway's address."""
        status: Obj = {"loadBalancer": {"ingress": [{"ip": address}]} if address else {}}
        if status != self._status:
            self._status = status
            self._statuses = dict.fromkeys(self._statuses, status)

    def _changed(self, resources: Resources) -> set[Key]:
        """The Ingresses to compile: new, changed, gone, or compiled with something that is another now."""
        served = classes.names(resources.of(CLASSES))
        if (served, resources.outside) != (self._served, self._outside):
            self._served, self._outside, self._seen = served, resources.outside, {}
        before, ingresses = self._seen.get(INGRESSES, NONE), resources.of(INGRESSES)
        changed = {
            key
            for key in _differ(before, ingresses)
            if key not in before or key not in ingresses or not reads_the_same(before[key], ingresses[key])
        }
        if not self._seen:
            changed |= self._compiled.keys()
        for resource in _READ:
            for key in _differ(self._seen.get(resource, NONE), resources.of(resource)):
                changed |= self._users.get((resource, key), set())
        self._seen = {resource: resources.of(resource) for resource in (INGRESSES, *_READ)}
        return changed

    def _again(self, key: Key, resources: Resources, touched: set[str]) -> None:
        old = self._compiled.pop(key, None)
        for read in self._reads.pop(key, ()):
            self._users[read].discard(key)
        for part in old.parts if old else ():
            self._said[part.host] = [said for said in self._said[part.host] if said[0] is not old]
            touched.add(part.host)
        ingress = resources.of(INGRESSES).get(key)
        made = None
        if ingress is not None and classes.ours(ingress, self._served):
            made = self._add(key, ingress, resources, touched)
        elif old is not None:
            del self._statuses[old.ref]
        self._parts.put_ingress(key, made)

    def _add(self, key: Key, ingress: Obj, resources: Resources, touched: set[str]) -> Compiled:
        look = Look(resources)
        made = self._compiled[key] = compiled(ingress, look)
        self._statuses[made.ref] = self._status
        self._reads[key] = reads = frozenset(look.reads())
        for read in reads:
            self._users.setdefault(read, set()).add(key)
        for part in made.parts:
            self._said.setdefault(part.host, []).append((made, part))
            touched.add(part.host)
        return made

    def _merge(self, name: str, outside: tuple[int, int]) -> None:
        """The oldest Ingress goes first."""
        said = self._said[name]
        if said:
            said.sort(key=lambda entry: entry[0].age)
            self._parts.put_host(name, hosts.host(name, said, outside))
        else:
            del self._said[name]
            self._parts.put_host(name, None)


def _differ(old: Objects, new: Objects) -> set[Key]:
    if old is new:
        return set()
    return {key for key, obj in new.items() if old.get(key) is not obj} | (old.keys() - new.keys())


def translate(resources: Resources) -> Result:
    """Once, without a memory."""
    return Translator().translate(resources)
