"""A ClusterRole with an aggregationRule has the rules of all ClusterRoles that its selectors match.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.api.rbac import aggregate
from sampan.client.env import Cache, Controller, Env

RESOURCE = "clusterroles.rbac.authorization.k8s.io"


def controller() -> Controller:
    return Controller("clusterrole-aggregation-controller", {RESOURCE: _aggregating}, reconcile, workers=1)


def _aggregating(role: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    """Any role may be part of any aggregating one."""
    return [meta.key(each) for each in caches[RESOURCE].list() if each.get("aggregationRule")]


async def reconcile(key: Key, env: Env) -> None:
    role = env.caches[RESOURCE].get(key)
    if role is None or not role.get("aggregationRule"):
        return
    selectors = role["aggregationRule"].get("clusterRoleSelectors") or ()
    others = (each for each in env.caches[RESOURCE].list() if meta.key(each) != key)
    rules = aggregate(selectors, others)
    if rules != (role.get("rules") or []):
        await env.client.patch(RESOURCE, key.name, "", {"rules": rules})
