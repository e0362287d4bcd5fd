"""CustomResourceDefinitions: names are accepted or refused, objects go with their definition.

Source: k8s.io/apiextensions-apiserver/pkg/controller/{status,establish,finalizer,apiapproval}
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from sampan.api import meta
from sampan.api.crd.names import status_of
from sampan.api.kinds.customresourcedefinition import FINALIZER, ID
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import After, Cache, Controller, Env
from sampan.controllers.writes import remove

RESOURCE = ID
# Objects that do not vanish at once (finalizers) are looked at again after so many seconds.
AGAIN = 0.5


def controller() -> Controller:
    return Controller("customresourcedefinition-controller", {ID: _concerns}, reconcile, workers=2)


def trim(crd: Obj) -> Obj:
    """A definition without its schemas: all that controllers need of it, a hundredth of its size."""
    versions = [{k: v for k, v in version.items() if k != "schema"} for version in crd["spec"].get("versions") or ()]
    return {**crd, "spec": {**crd["spec"], "versions": versions}}


def _concerns(crd: Obj, caches: Mapping[str, Cache]) -> Iterator[Key]:
    """Itself, and those of its group that wait for a name."""
    yield meta.key(crd)
    for other in caches[ID].list():
        if other["spec"]["group"] == crd["spec"]["group"] and not meta.is_true(other, "NamesAccepted"):
            yield meta.key(other)


async def reconcile(key: Key, env: Env) -> After | None:
    crd = env.caches[ID].get(key)
    if crd is None:
        return None
    if meta.deleting(crd) and FINALIZER in (crd["metadata"].get("finalizers") or ()):
        return await _clean(crd, env)
    others = [o for o in env.caches[ID].list() if meta.uid(o) != meta.uid(crd)]
    status = status_of(crd, others, meta.timestamp(env.clock.now()))
    if status != crd.get("status"):
        await _write(crd, status, env)
    return None


async def _write(crd: Obj, status: Obj, env: Env) -> None:
    patch = {
        "metadata": {"uid": meta.uid(crd), "resourceVersion": crd["metadata"]["resourceVersion"]},
        "status": status,
    }
    try:
        await env.client.patch(ID, meta.name(crd), "", patch, subresource="status")
    except ApiError as error:
        if error.code != 404:
            raise


# -- the end


async def _clean(crd: Obj, env: Env) -> After | None:
    """Delete all objects, then let the definition go."""
    left = await _objects(crd, env)
    await asyncio.gather(*(remove(env, meta.name(crd), obj) for obj in left if not meta.deleting(obj)))
    if left and await _objects(crd, env):
        await _terminating(crd, env)
        return After(AGAIN)
    kept = [f for f in crd["metadata"]["finalizers"] if f != FINALIZER]
    try:
        await env.client.patch(ID, meta.name(crd), "", {"metadata": {"finalizers": kept or None}})
    except ApiError as error:
        if error.code != 404:
            raise
    return None


async def _objects(crd: Obj, env: Env) -> list[Obj]:
    """What there is of the definition's kind; nothing when it was never served."""
    try:
        return list((await env.client.list(meta.name(crd))).items)
    except ApiError as error:
        if error.code != 404:
            raise
        return []


async def _terminating(crd: Obj, env: Env) -> None:
    if meta.is_true(crd, "Terminating"):
        return
    condition = {
        "type": "Terminating",
        "status": "True",
        "lastTransitionTime": meta.timestamp(env.clock.now()),
        "reason": "InstanceDeletionInProgress",
        "message": "CustomResource deletion is in progress",
    }
    old = crd.get("status") or {}
    await _write(crd, {**old, "conditions": [*(old.get("conditions") or ()), condition]}, env)
