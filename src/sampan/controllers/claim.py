"""Which dependents belong to a controlling object: its own, those it adopts, those it lets go.

Source: k8s.io/kubernetes/pkg/controller/controller_ref_manager.go
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api import meta, selectors
from sampan.api.meta import Obj
from sampan.api.status import ApiError
from sampan.client.env import Env
from sampan.controllers.writes import patch_exactly


async def claim(env: Env, owner_resource: str, owner: Obj, resource: str, candidates: Iterable[Obj]) -> list[Obj]:
    """The candidates that `owner` controls when this returns: orphans its selector matches are adopted, own ones that
    no longer match are released."""
    selector = selectors.of_workload(owner)
    mine: list[Obj] = []
    may_adopt: bool | None = None
    for obj in candidates:
        reference = meta.controller_of(obj)
        fits = selector.matches(meta.labels(obj))
        if reference is not None:
            if reference["uid"] != meta.uid(owner):
                continue
            if fits:
                mine.append(obj)
            elif not meta.deleting(owner):
                await _release(env, owner, resource, obj)
        elif fits and not meta.deleting(owner) and not meta.deleting(obj):
            if may_adopt is None:
                may_adopt = await _alive(env, owner_resource, owner)
            if may_adopt:
                mine.append(await _adopt(env, owner, resource, obj))
    return mine


async def _alive(env: Env, resource: str, owner: Obj) -> bool:
    """Asked of the server, not the cache: a deleted owner must not take children along."""
    try:
        live = await env.client.get(resource, meta.name(owner), meta.namespace(owner))
    except ApiError as error:
        if error.code != 404:
            raise
        return False
    return meta.uid(live) == meta.uid(owner) and not meta.deleting(live)


async def _adopt(env: Env, owner: Obj, resource: str, obj: Obj) -> Obj:
    references = [*(obj["metadata"].get("ownerReferences") or ()), meta.owner_reference(owner)]
    return await patch_exactly(env, resource, obj, {"metadata": {"ownerReferences": references}})


async def _release(env: Env, owner: Obj, resource: str, obj: Obj) -> None:
    kept = [r for r in obj["metadata"].get("ownerReferences") or () if r["uid"] != meta.uid(owner)]
    try:
        await patch_exactly(env, resource, obj, {"metadata": {"ownerReferences": kept or None}})
    except ApiError as error:
        if error.code != 404:
            raise
