"""Each namespace has a ServiceAccount `default`.

Source: https://kubernetes.io/docs/concepts/security/service-accounts/#default-service-accounts
"""

from __future__ import annotations

from sampan.api import meta
from sampan.api.meta import Key
from sampan.client.env import Controller, Env
from sampan.controllers.keys import namespace_key, own_key
from sampan.controllers.writes import create_missing

RESOURCE = "serviceaccounts"
NAME = "default"


def controller() -> Controller:
    return Controller("serviceaccount-controller", {"namespaces": own_key, RESOURCE: namespace_key}, reconcile)


async def reconcile(key: Key, env: Env) -> None:
    namespace = env.caches["namespaces"].get(key)
    if namespace is None or meta.deleting(namespace) or env.caches[RESOURCE].get(Key(key.name, NAME)):
        return
    metadata = {"name": NAME, "namespace": key.name}
    await create_missing(env, RESOURCE, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
