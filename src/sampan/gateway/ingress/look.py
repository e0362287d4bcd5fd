"""Reading other objects on behalf of one Ingress, and remembering which: its translation depends on those."""

from __future__ import annotations

from typing import NamedTuple

from sampan.api.meta import Key, Obj
from sampan.gateway.types import Objects, Resources

INGRESSES = "ingresses.networking.k8s.io"
CLASSES = "ingressclasses.networking.k8s.io"
SERVICES, SECRETS, CONFIGMAPS = "services", "secrets", "configmaps"


class Read(NamedTuple):
    """`obj` None: it was not there."""

    resource: str
    key: Key
    obj: Obj | None


class Look:
    """Each object is looked up once."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._reads: dict[tuple[str, Key], Obj | None] = {}

    def get(self, resource: str, namespace: str, name: str) -> Obj | None:
        key = (resource, Key(namespace, name))
        if key not in self._reads:
            self._reads[key] = self._resources.of(resource).get(key[1])
        return self._reads[key]

    def service(self, namespace: str, name: str) -> Obj | None:
        return self.get(SERVICES, namespace, name)

    def secret(self, namespace: str, name: str) -> Obj | None:
        return self.get(SECRETS, namespace, name)

    def configmap(self, namespace: str, name: str) -> Obj | None:
        return self.get(CONFIGMAPS, namespace, name)

    def reads(self) -> tuple[Read, ...]:
        return tuple(Read(resource, key, obj) for (resource, key), obj in self._reads.items())


def same(reads: tuple[Read, ...], objects: dict[str, Objects]) -> bool:
    """Is all that was read still the very same?"""
    return all(objects[resource].get(key) is obj for resource, key, obj in reads)
