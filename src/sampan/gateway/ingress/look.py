"""Reading other objects on behalf of one Ingress, and remembering which: its translation depends on those."""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.meta import Key, Obj
from sampan.gateway.types import Resources

INGRESSES = "ingresses.networking.k8s.io"
CLASSES = "ingressclasses.networking.k8s.io"
SERVICES, SECRETS, CONFIGMAPS = "services", "secrets", "configmaps"


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

    def reads(self) -> Iterable[tuple[str, Key]]:
        """What was looked up, whether or not it was there."""
        return self._reads.keys()
