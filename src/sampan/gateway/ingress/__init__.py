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
from sampan.gateway.ingress.look import CLASSES, CONFIGMAPS, INGRESSES, SECRETS, SERVICES, Look, Read, same
from sampan.gateway.ingress.model import Compiled, HostPart
from sampan.gateway.ingress.streams import streams
from sampan.gateway.types import Resources, Result


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was made of an Ingress, and of which objects."""

    ingress: Obj
    reads: tuple[Read, ...]
    compiled: Compiled


@dataclass(slots=True)
class Translator:
    """Remembers the last translation, by the identity of the objects it was made of."""

    _ingresses: dict[Key, _Kept] = field(default_factory=dict)
    _hosts: dict[str, tuple[list[tuple[Compiled, HostPart]], hosts.Host]] = field(default_factory=dict)

    def translate(self, resources: Resources) -> Result:
        found = self._compile(resources)
        merged = self._merge(found)
        made, notices = streams(resources, Look(resources))
        return assemble(resources, found, merged, made, notices)

    def _compile(self, resources: Resources) -> list[Compiled]:
        """Our Ingresses, the oldest first."""
        served = classes.names(resources.of(CLASSES))
        objects = {r: resources.of(r) for r in (SERVICES, SECRETS, CONFIGMAPS)}
        before, self._ingresses = self._ingresses, {}
        for key, ingress in resources.of(INGRESSES).items():
            if not classes.ours(ingress, served):
                continue
            kept = before.get(key)
            if kept is None or kept.ingress is not ingress or not same(kept.reads, objects):
                look = Look(resources)
                made = compiled(ingress, look)
                kept = _Kept(ingress, look.reads(), made)
            self._ingresses[key] = kept
        return sorted((kept.compiled for kept in self._ingresses.values()), key=lambda c: c.age)

    def _merge(self, found: list[Compiled]) -> dict[str, hosts.Host]:
        said: dict[str, list[tuple[Compiled, HostPart]]] = {}
        for one in found:
            for part in one.parts:
                said.setdefault(part.host, []).append((one, part))
        before, self._hosts = self._hosts, {}
        for name, now in said.items():
            kept = before.get(name)
            if kept is None or not _same(kept[0], now):
                kept = (now, hosts.host(name, now))
            self._hosts[name] = kept
        return {name: kept[1] for name, kept in self._hosts.items()}


def _same(old: list[tuple[Compiled, HostPart]], new: list[tuple[Compiled, HostPart]]) -> bool:
    return len(old) == len(new) and all(a[0] is b[0] for a, b in zip(old, new, strict=True))


def translate(resources: Resources) -> Result:
    """Once, without a memory."""
    return Translator().translate(resources)
