"""Reading and writing the EndpointSlices that one manager keeps."""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.client.env import Cache, Env
from sampan.controllers.own_writes import OwnWrites
from sampan.controllers.slices import MANAGED_BY, RESOURCE, SERVICE_NAME, Changes
from sampan.controllers.writes import create, remove


def service_of_slice(obj: Obj, manager: str) -> Iterable[Key]:
    """The Service a slice of this manager is for."""
    labels = meta.labels(obj)
    if labels.get(MANAGED_BY) != manager or SERVICE_NAME not in labels:
        return ()
    return (Key(meta.namespace(obj), labels[SERVICE_NAME]),)


def managed_slices(cache: Cache, service: Key, manager: str, owner: Obj | None) -> list[Obj]:
    """The slices of one Service that this manager keeps; found by their owner while there is one."""
    found = cache.list(service.namespace) if owner is None else cache.owned_by(meta.uid(owner))
    return [each for each in found if service in service_of_slice(each, manager) and not meta.deleting(each)]


async def write_changes(env: Env, writes: OwnWrites, service: Key, changes: Changes) -> None:
    """Updates and creations first: an endpoint that moves is for a moment in two slices, never in none."""
    for each in changes.update:
        await env.client.update(RESOURCE, each)
    for each in changes.create:
        if (made := await create(env, RESOURCE, each)) is not None:
            writes.created(service, made, env)
    for each in changes.delete:
        await remove(env, RESOURCE, each)
