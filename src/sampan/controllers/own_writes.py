"""What a controller wrote and its cache does not show yet.

Caches lag behind writes. A controller that looks only at its cache would make the same pod twice. client-go counts
"expectations" for this; here the written objects themselves are remembered, so that a reconcile can go on with the
world as it will be.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import Env

# After this many seconds an object the cache still does not show is asked for by name: it may have come and gone.
DOUBT = 1.0


def as_deleting(obj: Obj) -> Obj:
    """What we deleted, as the cache will show it."""
    return {**obj, "metadata": {**obj["metadata"], "deletionTimestamp": ""}}


@dataclass
class _Created:
    object: Obj
    since: float


@dataclass
class OwnWrites:
    """Creations and deletions of one resource, by the key of the object they were done for."""

    resource: str
    _created: dict[Key, dict[str, _Created]] = field(default_factory=dict)
    _deleted: dict[Key, set[str]] = field(default_factory=dict)

    def created(self, owner: Key, obj: Obj, env: Env) -> None:
        """Remember the answer to a create."""
        self._created.setdefault(owner, {})[meta.uid(obj)] = _Created(obj, env.clock.monotonic())

    def deleted(self, owner: Key, uid: str) -> None:
        """Remember that a delete was accepted."""
        self._deleted.setdefault(owner, set()).add(uid)

    def forget(self, owner: Key) -> None:
        """The owner is gone."""
        self._created.pop(owner, None)
        self._deleted.pop(owner, None)

    async def unseen(self, owner: Key, env: Env) -> list[Obj]:
        """Created objects the cache does not show; while there are any, reconcile again after `DOUBT`."""
        waiting = self._created.get(owner, {})
        for uid, entry in list(waiting.items()):
            if await self._settled(entry, env):
                waiting.pop(uid, None)
        if not waiting:
            self._created.pop(owner, None)
        return [entry.object for entry in waiting.values()]

    def leaving(self, owner: Key, cached: list[Obj]) -> set[str]:
        """Of the cached objects, the uids of those that were deleted but do not show it."""
        alive = {meta.uid(obj) for obj in cached if not meta.deleting(obj)}
        remaining = self._deleted.get(owner, set()) & alive
        if remaining:
            self._deleted[owner] = remaining
        else:
            self._deleted.pop(owner, None)
        return remaining

    async def _settled(self, entry: _Created, env: Env) -> bool:
        """Does the cache show it, or is it gone already?"""
        key = meta.key(entry.object)
        if env.caches[self.resource].get(key) is not None:
            return True
        if env.clock.monotonic() - entry.since < DOUBT:
            return False
        try:
            live = await env.client.get(self.resource, key.name, key.namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            return True
        return meta.uid(live) != meta.uid(entry.object)
