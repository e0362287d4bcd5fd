"""The writes every controller does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.patch import merge
from sampan.api.status import ApiError
from sampan.client.env import Env
from sampan.client.types import Preconditions


async def write_status(env: Env, resource: str, obj: Obj, status: Obj) -> None:
    """Make the object's status equal `status`; fine when it is so already or the object is gone.

    A merge patch that takes out what is no longer there: it cannot lose a race against a change of the spec.
    """
    old = obj.get("status") or {}
    if old == status:
        return
    patch = {"status": merge.difference(old, status)}
    try:
        await env.client.patch(resource, meta.name(obj), meta.namespace(obj), patch, subresource="status")
    except ApiError as error:
        if error.code != 404:
            raise


async def remove(env: Env, resource: str, obj: Obj, *, grace: int | None = None, propagation: str = "") -> bool:
    """Delete this very object (uid); says whether it was still there."""
    only_this = Preconditions(uid=meta.uid(obj))
    try:
        await env.client.delete(
            resource, meta.name(obj), meta.namespace(obj), grace=grace, propagation=propagation, preconditions=only_this
        )
    except ApiError as error:
        # 409: another object has taken the name.
        if error.code not in (404, 409):
            raise
        return False
    return True


async def patch_exactly(env: Env, resource: str, obj: Obj, patch: Obj, *, subresource: str = "") -> Obj:
    """A merge patch that fails with 409 unless the object is still as `obj` shows it."""
    metadata = {**patch.get("metadata", {}), "resourceVersion": obj["metadata"]["resourceVersion"]}
    patch = {**patch, "metadata": metadata}
    return await env.client.patch(resource, meta.name(obj), meta.namespace(obj), patch, subresource=subresource)


def set_condition(
    conditions: list[Obj], kind: str, status: str, reason: str, message: str, now: str, *, updated: bool = False
) -> list[Obj]:
    """The conditions with this one in place; `lastTransitionTime` moves only when the status does.

    `updated`: this kind also keeps `lastUpdateTime`. A condition with the same status and reason stays as it is.
    """
    old = next((c for c in conditions if c["type"] == kind), None)
    if old and (old["status"], old.get("reason")) == (status, reason):
        return conditions
    new: Obj = {"type": kind, "status": status}
    if updated:
        new["lastUpdateTime"] = now
    same = old is not None and old["status"] == status
    new["lastTransitionTime"] = old["lastTransitionTime"] if old and same else now
    new |= {"reason": reason, "message": message}
    return [*(c for c in conditions if c["type"] != kind), new]


async def create(env: Env, resource: str, obj: Obj) -> Obj | None:
    """Create, or None when the namespace is being deleted or is gone: then there is nothing to make any more."""
    try:
        return await env.client.create(resource, obj)
    except ApiError as error:
        causes = [cause.get("reason") for cause in error.details.get("causes") or ()]
        if error.code != 404 and "NamespaceTerminating" not in causes:
            raise
        return None


async def create_missing(env: Env, resource: str, obj: Obj) -> None:
    """Create an object with a fixed name; it is fine when another one was quicker."""
    try:
        await create(env, resource, obj)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise


async def in_batches(writes: Sequence[Callable[[], Awaitable[ApiError | None]]]) -> ApiError | None:
    """In batches of 1, 2, 4, …: a fault that all share (quota, a bad template) is met once, not 500 times.

    Each write returns what went wrong; the first such error ends it and is returned.
    """
    done, batch = 0, 1
    while done < len(writes):
        results = await asyncio.gather(*(write() for write in writes[done : done + batch]))
        if error := next((e for e in results if e is not None), None):
            return error
        done, batch = done + batch, batch * 2
    return None
