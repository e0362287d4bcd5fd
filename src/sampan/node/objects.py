"""The ConfigMaps and Secrets that this node's pods refer to, each watched for itself: a node sees no others, and an
idle watch costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sampan.api.meta import Key, Obj
from sampan.base.clock import Clock
from sampan.base.tasks import Tasks
from sampan.client.informer import Informer
from sampan.client.types import Client
from sampan.node.env import Ref


@dataclass
class _Followed:
    informer: Informer
    task: asyncio.Task[None]
    users: dict[str, Callable[[], None]] = field(default_factory=dict)  # pod uid → who wants to know of changes


class Objects:
    """Shared by all pods of the node. While the server is away, the last known content counts."""

    def __init__(self, client: Client, clock: Clock, tasks: Tasks) -> None:
        self._client = client
        self._clock = clock
        self._tasks = tasks
        self._followed: dict[tuple[str, Ref], _Followed] = {}

    def follow(self, uid: str, namespace: str, refs: Iterable[Ref], changed: Callable[[], None]) -> None:
        """Keep these up to date for the pod `uid`; `changed` is called when one of them changes."""
        for ref in refs:
            followed = self._followed.get((namespace, ref)) or self._begin(namespace, ref)
            followed.users[uid] = changed

    def unfollow(self, uid: str) -> None:
        """The pod is gone; what nobody follows any more is let go."""
        for key, followed in list(self._followed.items()):
            if followed.users.pop(uid, None) and not followed.users:
                del self._followed[key]
                followed.task.cancel()

    async def get(self, namespace: str, refs: Iterable[Ref]) -> dict[Ref, Obj | None]:
        """The followed objects, None for one that does not exist. Waits until each was looked up once."""
        found = {}
        for ref in refs:
            informer = self._followed[(namespace, ref)].informer
            await informer.synced.wait()
            found[ref] = informer.get(Key(namespace, ref.name))
        return found

    def _begin(self, namespace: str, ref: Ref) -> _Followed:
        fields = f"metadata.name={ref.name}"
        informer = Informer(self._client, ref.resource, namespace, clock=self._clock, fields=fields)
        task = self._tasks.start(f"watch {ref.resource} {namespace}/{ref.name}", informer.run())
        followed = self._followed[(namespace, ref)] = _Followed(informer, task)

        def tell(old: Obj | None, new: Obj | None) -> None:
            if informer.synced.is_set():
                for changed in list(followed.users.values()):
                    changed()

        informer.add_handler(tell)
        return followed
