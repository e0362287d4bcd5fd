"""Namespace deletion: first all that is in it, then the namespace.

Source: https://kubernetes.io/docs/tasks/administer-cluster/namespaces/,
k8s.io/kubernetes/pkg/controller/namespace/deletion
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.api.scheme import Resource, Scheme
from sampan.api.status import ApiError
from sampan.client.env import After, Cache, Controller, Env
from sampan.controllers.keys import own_key
from sampan.controllers.writes import remove, write_status

RESOURCE = "namespaces"
FINALIZER = "kubernetes"
# What does not vanish at once (pods with a grace period, other finalizers) is looked at again after so many seconds.
AGAIN = 0.5


def controller(scheme: Scheme) -> Controller:
    async def reconcile(key: Key, env: Env) -> After | None:
        namespace = env.caches[RESOURCE].get(key)
        if namespace is None or not meta.deleting(namespace) or FINALIZER not in _finalizers(namespace):
            return None
        left = await _delete_content(_resources(scheme), key.name, env)
        if left:
            await write_status(env, RESOURCE, namespace, _status(namespace, left, meta.timestamp(env.clock.now())))
            return After(AGAIN)
        await _finalize(namespace, env)
        return None

    return Controller("namespace-controller", {RESOURCE: own_key, "pods": _terminating}, reconcile)


def _resources(scheme: Scheme) -> list[Resource]:
    """All that can be in a namespace now. Events last: the end of the others makes some."""
    found = (r for r in scheme.by_id.values() if r.namespaced and r.stored)
    return sorted(found, key=lambda r: r.kind == "Event")


def _terminating(pod: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    """A pod's end may be what its namespace waits for."""
    key = Key("", meta.namespace(pod))
    namespace = caches[RESOURCE].get(key)
    return (key,) if namespace and meta.deleting(namespace) else ()


def _finalizers(namespace: Obj) -> list[str]:
    return (namespace.get("spec") or {}).get("finalizers") or []


async def _delete_content(resources: list[Resource], namespace: str, env: Env) -> dict[str, list[Obj]]:
    """Ask for the end of everything; returns what is still there, by resource. Live lists: a cache may lag."""
    left: dict[str, list[Obj]] = {}
    for resource in resources:
        found = await _list(resource.id, namespace, env)
        await asyncio.gather(
            *(remove(env, resource.id, obj, propagation="Background") for obj in found if not meta.deleting(obj))
        )
        if found:
            remaining = await _list(resource.id, namespace, env)
            left |= {resource.id: remaining} if remaining else {}
    return left


async def _list(resource: str, namespace: str, env: Env) -> list[Obj]:
    """What is there; nothing of a custom resource whose definition went meanwhile."""
    try:
        return list((await env.client.list(resource, namespace)).items)
    except ApiError as error:
        if error.code != 404:
            raise
        return []


async def _finalize(namespace: Obj, env: Env) -> None:
    """Without its finalizer the server lets the namespace go."""
    kept = [f for f in _finalizers(namespace) if f != FINALIZER]
    try:
        await env.client.patch(
            RESOURCE, meta.name(namespace), "", {"spec": {"finalizers": kept}}, subresource="finalize"
        )
    except ApiError as error:
        if error.code != 404:
            raise


def _status(namespace: Obj, left: dict[str, list[Obj]], now: str) -> Obj:
    """Phase Terminating, and conditions that say what is still there."""
    finalizers = Counter(f for objs in left.values() for obj in objs for f in obj["metadata"].get("finalizers") or ())
    content = ", ".join(f"{resource} has {len(objs)} resource instances" for resource, objs in sorted(left.items()))
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
    found = {
        "NamespaceDeletionDiscoveryFailure": ("False", "ResourcesDiscovered", "All resources successfully discovered"),
        "NamespaceDeletionGroupVersionParsingFailure": (
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        "NamespaceDeletionContentFailure": (
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        "NamespaceContentRemaining": ("True", "SomeResourcesRemain", f"Some resources are remaining: {content}")
        if content
        else ("False", "ContentRemoved", "All content successfully removed"),
        "NamespaceFinalizersRemaining": (
            "True",
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {held}",
        )
        if held
        else ("False", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    }
    old = {c["type"]: c for c in (namespace.get("status") or {}).get("conditions") or ()}
    conditions = []
    for kind, (status, reason, message) in found.items():
        since = old[kind]["lastTransitionTime"] if kind in old and old[kind]["status"] == status else now
        conditions.append(
            {"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
        )
    return {"phase": "Terminating", "conditions": conditions}
