"""An informer: a local copy of one resource, kept true by list and watch.

It lists once, then follows; when a watch ends it resumes from the last revision seen, and only when the server cannot
tell what happened since (410, 504) it lists again, telling its handlers the difference.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from types import MappingProxyType

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.base import log
from sampan.base.clock import Clock
from sampan.client.types import Client

_log = log.get("informer")

# (old, new): None for old is an addition, None for new a deletion.
Handler = Callable[[Obj | None, Obj | None], None]

_FIRST_RETRY, _LAST_RETRY = 0.1, 10.0
# Our revision is compacted away (410), or from the future: the server's store was replaced (504).
_LIST_AGAIN = (410, 504)


class Informer:
    """Implements `Cache`. `run()` is a task's body; `synced` is set after the first list.

    Handlers are called on the loop, after the cache has changed. `chance` gives 0..1 for the jitter of retries.
    `trim` makes a smaller object of each to keep.
    """

    def __init__(
        self,
        client: Client,
        resource: str,
        namespace: str = "",
        *,
        clock: Clock,
        labels: str = "",
        fields: str = "",
        chance: Callable[[], float] = random.random,
        trim: Callable[[Obj], Obj] | None = None,
    ) -> None:
        self.resource = resource
        self._trim = trim
        self.synced = asyncio.Event()
        self._client = client
        self._namespace = namespace
        self._labels, self._fields = labels, fields
        self._clock = clock
        self._chance = chance
        self._revision = ""
        self._retry = _FIRST_RETRY
        self._objects: dict[Key, Obj] = {}
        self._frozen: Mapping[Key, Obj] | None = None
        self._by_namespace: dict[str, dict[Key, Obj]] = {}
        self._by_owner: dict[str, dict[Key, Obj]] = {}
        self._handlers: list[Handler] = []
        self._waiting: dict[asyncio.Future[None], int] = {}

    # -- Cache

    def get(self, key: Key) -> Obj | None:
        return self._objects.get(key)

    def list(self, namespace: str = "") -> Iterable[Obj]:
        found = self._by_namespace.get(namespace, {}) if namespace else self._objects
        return list(found.values())

    def owned_by(self, uid: str) -> Iterable[Obj]:
        return list(self._by_owner.get(uid, {}).values())

    def __len__(self) -> int:
        return len(self._objects)

    def snapshot(self) -> Mapping[Key, Obj]:
        """All objects as they are now, for a reader who takes his time. The same object until one of them changes."""
        if self._frozen is None:
            self._frozen = MappingProxyType(self._objects.copy())
        return self._frozen

    def add_handler(self, handler: Handler) -> None:
        """Call `handler` for what is there already, then for each change."""
        self._handlers.append(handler)
        for obj in list(self._objects.values()):
            self._call(handler, None, obj)

    async def reached(self, revision: int) -> None:
        """Return when all changes up to this revision are in the cache and its handlers have been told.

        Ask for the revision of an object of this resource: that of another kind's may never be heard of.
        """
        if self._revision and int(self._revision) >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = revision
        try:
            await future
        finally:
            del self._waiting[future]

    # -- keeping it true

    async def run(self) -> None:
        """Follow the resource until cancelled."""
        while True:
            try:
                if not self._revision:
                    await self._relist()
                await self._follow()
            except ApiError as error:
                if error.code in _LIST_AGAIN:
                    _log.info("%s: %s; listing again", self.resource, error)
                    self._revision = ""
                else:
                    _log.warning("%s: %s; trying again", self.resource, error)
            else:
                continue  # the server ended the watch in good order
            await self._clock.sleep(self._retry * (1 + self._chance()))
            self._retry = min(self._retry * 2, _LAST_RETRY)

    async def _relist(self) -> None:
        page = await self._client.list(self.resource, self._namespace, labels=self._labels, fields=self._fields)
        listed = {meta.key(obj): obj for obj in page.items}
        for key in self._objects.keys() - listed.keys():
            self._apply(key, None)
        for key, obj in listed.items():
            self._apply(key, obj)
        self._reach(page.revision)
        self.synced.set()

    async def _follow(self) -> None:
        events = self._client.watch(
            self.resource, self._namespace, after=self._revision, labels=self._labels, fields=self._fields
        )
        async with aclosing(events):  # type: ignore[type-var]
            async for kind, obj in events:
                self._retry = _FIRST_RETRY
                if kind != "BOOKMARK":
                    self._apply(meta.key(obj), None if kind == "DELETED" else obj)
                self._reach(obj["metadata"]["resourceVersion"])

    def _reach(self, revision: str) -> None:
        self._revision = revision
        for future, wanted in self._waiting.items():
            if wanted <= int(revision) and not future.done():
                future.set_result(None)

    def _apply(self, key: Key, new: Obj | None) -> None:
        old = self._objects.get(key)
        if old is None and new is None:
            return
        if old is not None and new is not None and _revision(old) == _revision(new):
            return
        self._frozen = None
        if old is not None:
            self._unindex(key, old)
        if new is not None:
            new = self._trim(new) if self._trim else new
            self._index(key, new)
        for handler in self._handlers:
            self._call(handler, old, new)

    def _index(self, key: Key, obj: Obj) -> None:
        self._objects[key] = obj
        self._by_namespace.setdefault(key.namespace, {})[key] = obj
        for reference in obj["metadata"].get("ownerReferences") or ():
            self._by_owner.setdefault(reference["uid"], {})[key] = obj

    def _unindex(self, key: Key, obj: Obj) -> None:
        del self._objects[key]
        _drop(self._by_namespace, key.namespace, key)
        for reference in obj["metadata"].get("ownerReferences") or ():
            _drop(self._by_owner, reference["uid"], key)

    def _call(self, handler: Handler, old: Obj | None, new: Obj | None) -> None:
        try:
            handler(old, new)
        except Exception:
            _log.exception("a handler of %s failed", self.resource)


def _drop(index: dict[str, dict[Key, Obj]], value: str, key: Key) -> None:
    entries = index.get(value, {})
    entries.pop(key, None)
    if not entries:
        index.pop(value, None)


def _revision(obj: Obj) -> str:
    return str(obj["metadata"].get("resourceVersion", ""))
