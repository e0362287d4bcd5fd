"""ResourceQuota controller: writes down what is used of each quota.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api import meta, quota
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import After, Cache, Controller, Env
from sampan.controllers.writes import write_status

QUOTAS = "resourcequotas"
# Resources that are followed; the others are counted again now and then.
_FOLLOWED = ("pods", "services", "persistentvolumeclaims", "configmaps")
_PERIOD = 10.0


def controller() -> Controller:
    return Controller(
        "resourcequota-controller", {QUOTAS: _quotas_of, **dict.fromkeys(_FOLLOWED, _quotas_of)}, _reconcile
    )


def _quotas_of(obj: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    return [meta.key(q) for q in caches[QUOTAS].list(meta.namespace(obj))]


async def _reconcile(key: Key, env: Env) -> After | None:
    found = env.caches[QUOTAS].get(key)
    if found is None or meta.deleting(found):
        return None
    hard = found.get("spec", {}).get("hard") or {}
    resources = {quota.resource_of(name) for name in hard}
    used: quota.Amounts = {}
    for resource in sorted(resources):
        used |= quota.total(found, resource, await _objects(resource, key.namespace, env))
    status = {"hard": hard, "used": {name: str(used[name]) for name in hard}} if hard else {}
    await write_status(env, QUOTAS, found, status)
    return None if resources <= set(_FOLLOWED) else After(_PERIOD)


async def _objects(resource: str, namespace: str, env: Env) -> Iterable[Obj]:
    if resource in env.caches:
        return env.caches[resource].list(namespace)
    try:
        return (await env.client.list(resource, namespace)).items
    except ApiError as error:
        if error.code != 404:  # a resource that is not served: nothing there
            raise
        return []
