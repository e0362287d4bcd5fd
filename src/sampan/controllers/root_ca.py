"""Each namespace has a ConfigMap `kube-root-ca.crt`, with which pods check the API server's certificate.

Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/ (root-ca-cert-publisher)
"""

from __future__ import annotations

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.client.env import Controller, Env
from sampan.controllers.keys import own_key
from sampan.controllers.writes import create_missing

RESOURCE = "configmaps"
NAME = "kube-root-ca.crt"


def controller(root_ca: str) -> Controller:
    """`root_ca` is the PEM text."""

    async def reconcile(key: Key, env: Env) -> None:
        namespace = env.caches["namespaces"].get(key)
        if namespace is None or meta.deleting(namespace):
            return
        existing = env.caches[RESOURCE].get(Key(key.name, NAME))
        data = {"ca.crt": root_ca}
        if existing is None:
            await create_missing(env, RESOURCE, _config_map(key.name, data))
        elif existing.get("data") != data:
            await env.client.patch(RESOURCE, NAME, key.name, {"data": data})

    def named_so(obj: Obj, caches: object) -> tuple[Key, ...]:
        return (Key("", meta.namespace(obj)),) if meta.name(obj) == NAME else ()

    return Controller("root-ca-cert-publisher", {"namespaces": own_key, RESOURCE: named_so}, reconcile)


def _config_map(namespace: str, data: dict[str, str]) -> Obj:
    about = "Contains a CA bundle that can be used to verify the kube-apiserver."
    metadata = {"name": NAME, "namespace": namespace, "annotations": {"kubernetes.io/description": about}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
