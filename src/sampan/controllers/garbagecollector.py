"""Garbage collector: what an owner leaves behind goes too, in the background, in the foreground, or is orphaned.

Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/#cascading-deletion
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.api.scheme import Scheme
from sampan.api.status import ApiError
from sampan.client.env import Cache, Controller, Env
from sampan.controllers.writes import patch_exactly, remove

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
# Nothing owns events by reference, and there are many.
IGNORED = frozenset({"events", "events.events.k8s.io"})

Watch = Callable[[Obj, Mapping[str, Cache]], Iterable[Key]]


def controller(scheme: Scheme) -> Controller:
    collector = Collector(scheme)
    watches = {r.id: collector.watch(r.id) for r in scheme.by_id.values() if r.stored and r.id not in IGNORED}
    return Controller("garbage-collector-controller", watches, collector.reconcile, workers=8, custom=collector.watch)


def key_of(resource: str, obj: Obj) -> Key:
    """One queue holds objects of all resources: the name of a key is RESOURCE/NAME/UID."""
    return Key(meta.namespace(obj), f"{resource}/{meta.name(obj)}/{meta.uid(obj)}")


class Collector:
    """Looks at one object at a time: is it gone, going, or has it lost its owners?"""

    def __init__(self, scheme: Scheme) -> None:
        self._scheme = scheme

    def watch(self, resource: str) -> Watch:
        """A changed object concerns itself, and each owner that waits in the foreground for its end."""

        def changed(obj: Obj, caches: Mapping[str, Cache]) -> Iterator[Key]:
            yield key_of(resource, obj)
            for reference in _references(obj):
                found = self._place(reference, meta.namespace(obj))
                if found is None:
                    continue
                kind, key = found
                owner = caches[kind].get(key) if kind in caches else None
                if owner is not None and meta.deleting(owner):
                    yield key_of(kind, owner)

        return changed

    async def reconcile(self, key: Key, env: Env) -> None:
        resource, name, uid = key.name.split("/")
        if resource not in env.caches:
            return  # a custom resource that is no more
        obj = env.caches[resource].get(Key(key.namespace, name))
        if obj is None or meta.uid(obj) != uid:
            for kind, dependent in _dependents(uid, env):
                await self._collect(kind, dependent, env)
            return
        finalizers = obj["metadata"].get("finalizers") or ()
        if meta.deleting(obj) and ORPHAN in finalizers:
            await self._orphan(resource, obj, env)
        elif meta.deleting(obj) and FOREGROUND in finalizers:
            await self._wait_for_dependents(resource, obj, env)
        elif not meta.deleting(obj):
            await self._collect(resource, obj, env)

    def _place(self, reference: Obj, namespace: str) -> tuple[str, Key] | None:
        """The resource and key of an owner; None for a kind this cluster does not have."""
        resource = self._scheme.by_kind.get((reference["apiVersion"], reference["kind"]))
        if resource is None or resource.id in IGNORED or (resource.namespaced and not namespace):
            return None
        return resource.id, Key(namespace if resource.namespaced else "", reference["name"])

    async def _collect(self, resource: str, obj: Obj, env: Env) -> None:
        """Delete the object when all its owners are gone or going in the foreground."""
        solid, waiting, gone = [], [], []
        for reference in _references(obj):
            owner = await self._owner(reference, meta.namespace(obj), env)
            if owner is None:
                gone.append(reference)
            elif meta.deleting(owner) and FOREGROUND in (owner["metadata"].get("finalizers") or ()):
                waiting.append(reference)
            else:
                solid.append(reference)
        if not (gone or waiting) or meta.deleting(obj):
            return
        if solid:
            await _patch(resource, obj, {"ownerReferences": solid}, env)
            return
        has_dependents = next(_dependents(meta.uid(obj), env), None) is not None
        policy = "Foreground" if waiting and has_dependents else _own_policy(obj)
        await remove(env, resource, obj, propagation=policy)

    async def _owner(self, reference: Obj, namespace: str, env: Env) -> Obj | None:
        """The owner, None when it is gone. A cache that lacks it is not believed: the server is asked."""
        found = self._place(reference, namespace)
        if found is None:
            return {"metadata": {}}
        resource, key = found
        cache = env.caches.get(resource)
        owner = cache.get(key) if cache is not None else None
        if owner is None or meta.uid(owner) != reference["uid"]:
            try:
                owner = await env.client.get(resource, key.name, key.namespace)
            except ApiError as error:
                if error.code != 404:
                    raise
                return None
        return owner if meta.uid(owner) == reference["uid"] else None

    async def _wait_for_dependents(self, resource: str, owner: Obj, env: Env) -> None:
        """Foreground: the owner goes when no dependent blocks it any more."""
        blocking = [(r, d) for r, d in _dependents(meta.uid(owner), env) if _blocks(d, owner)]
        for kind, dependent in blocking:
            await self._collect(kind, dependent, env)
        if not blocking:
            await _drop_finalizer(resource, owner, FOREGROUND, env)

    async def _orphan(self, resource: str, owner: Obj, env: Env) -> None:
        """The dependents stay and forget their owner."""
        for kind, dependent in list(_dependents(meta.uid(owner), env)):
            kept = [r for r in _references(dependent) if r["uid"] != meta.uid(owner)]
            await _patch(kind, dependent, {"ownerReferences": kept or None}, env)
        await _drop_finalizer(resource, owner, ORPHAN, env)


def _references(obj: Obj) -> list[Obj]:
    return obj["metadata"].get("ownerReferences") or []


def _dependents(uid: str, env: Env) -> Iterator[tuple[str, Obj]]:
    return ((resource, obj) for resource, cache in list(env.caches.items()) for obj in list(cache.owned_by(uid)))


def _blocks(dependent: Obj, owner: Obj) -> bool:
    return any(r["uid"] == meta.uid(owner) and r.get("blockOwnerDeletion") for r in _references(dependent))


def _own_policy(obj: Obj) -> str:
    """What the object's own finalizers ask for."""
    finalizers = obj["metadata"].get("finalizers") or ()
    return "Orphan" if ORPHAN in finalizers else "Foreground" if FOREGROUND in finalizers else "Background"


async def _drop_finalizer(resource: str, obj: Obj, finalizer: str, env: Env) -> None:
    kept = [f for f in obj["metadata"]["finalizers"] if f != finalizer]
    await _patch(resource, obj, {"finalizers": kept or None}, env)


async def _patch(resource: str, obj: Obj, metadata: Obj, env: Env) -> None:
    """Of this very object; it is fine when it is gone."""
    try:
        await patch_exactly(env, resource, obj, {"metadata": metadata})
    except ApiError as error:
        if error.code != 404:
            raise
