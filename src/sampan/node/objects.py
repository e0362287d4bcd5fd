"""The ConfigMaps and Secrets that this node's pods refer to, each watched for itself: a node sees no others, and an
idle watch costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sampan.api.meta import Obj
from sampan.base import log
from sampan.base.clock import Clock
from sampan.base.errors import SampanError
from sampan.base.tasks import Tasks
from sampan.client.types import Client
from sampan.node.env import Ref

_log = log.get("node")
RETRY = 1.0  # seconds


@dataclass
class _Watched:
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    obj: Obj | None = None
    task: asyncio.Task[None] | None = None
    users: dict[str, Callable[[], None]] = field(default_factory=dict)  # pod uid → who wants to know of changes


class Objects:
    """Shared by all pods of the node. While the server is away, the last known content counts."""

    def __init__(self, client: Client, clock: Clock, tasks: Tasks) -> None:
        self._client = client
        self._clock = clock
        self._tasks = tasks
        self._watched: dict[tuple[str, Ref], _Watched] = {}

    def follow(self, uid: str, namespace: str, refs: Iterable[Ref], changed: Callable[[], None]) -> None:
        """Keep these up to date for the pod `uid`; `changed` is called when one of them changes."""
        for ref in refs:
            watched = self._watched.setdefault((namespace, ref), _Watched())
            watched.users[uid] = changed
            if watched.task is None:
                watched.task = self._tasks.start(
                    f"watch {ref.resource} {namespace}/{ref.name}", self._watch(namespace, ref)
                )

    def unfollow(self, uid: str) -> None:
        """The pod is gone; what nobody follows any more is let go."""
        for key, watched in list(self._watched.items()):
            if watched.users.pop(uid, None) and not watched.users:
                del self._watched[key]
                if watched.task:
                    watched.task.cancel()

    async def get(self, namespace: str, refs: Iterable[Ref]) -> dict[Ref, Obj | None]:
        """The followed objects, None for one that does not exist. Waits until each was seen once."""
        found = {}
        for ref in refs:
            watched = self._watched[(namespace, ref)]
            await watched.synced.wait()
            found[ref] = watched.obj
        return found

    async def _watch(self, namespace: str, ref: Ref) -> None:
        watched = self._watched[(namespace, ref)]
        fields = f"metadata.name={ref.name}"
        while True:
            try:
                page = await self._client.list(ref.resource, namespace, fields=fields)
                self._set(watched, page.items[0] if page.items else None)
                events = self._client.watch(ref.resource, namespace, after=page.revision, fields=fields)
                async for event in events:
                    if event.type != "BOOKMARK":
                        self._set(watched, None if event.type == "DELETED" else event.object)
            except (SampanError, OSError) as error:
                _log.debug("watch of %s %s/%s begins again: %s", ref.resource, namespace, ref.name, error)
            await self._clock.sleep(RETRY)

    def _set(self, watched: _Watched, obj: Obj | None) -> None:
        before, known = watched.obj, watched.synced.is_set()
        watched.obj = obj
        watched.synced.set()
        if known and before != obj:
            for changed in list(watched.users.values()):
                changed()
