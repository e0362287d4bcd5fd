"""Watches: who hears of which write, in order, without gaps, and without waiting for the slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from sampan.base.errors import Compacted
from sampan.store.types import Event

# (prefix, after, upto, limit) → the kept events between, oldest first.
Replay = Callable[[str, int, int, int], Awaitable[list[Event]]]
PAGE = 1000


class Hub:
    """All open watches, grouped by prefix so that each batch is filtered once a prefix and shared by its watches.

    `bound`: events that may wait for one watcher; it is ended with Compacted beyond that, so that it lists again.
    """

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._groups: dict[str, list[Subscription]] = {}

    def open(self, prefix: str, after: int, revision: int, replay: Replay) -> Subscription:
        """A watch of what comes after `after`. From the store's `revision` on it hears live events."""
        subscription = Subscription(self, prefix, after, revision, replay)
        self._groups.setdefault(prefix, []).append(subscription)
        return subscription

    def publish(self, events: list[Event]) -> None:
        for prefix, subscriptions in list(self._groups.items()):
            found = [e for e in events if e.record.key.startswith(prefix)]
            if found:
                for subscription in list(subscriptions):  # an overflowing one leaves the group
                    subscription.offer(found)

    def remove(self, subscription: Subscription) -> None:
        group = self._groups.get(subscription.prefix, [])
        if subscription in group:
            group.remove(subscription)
            if not group:
                del self._groups[subscription.prefix]

    def close(self) -> None:
        for group in list(self._groups.values()):
            for subscription in list(group):
                subscription.close()


class Subscription:
    """The `Watch` of `types.py`. It is registered before the past is replayed, so nothing falls between."""

    def __init__(self, hub: Hub, prefix: str, after: int, revision: int, replay: Replay) -> None:
        self.prefix = prefix
        self._hub = hub
        self._after = after
        self._live_from = revision
        self._replay = replay
        self._pending: list[list[Event]] = []
        self._size = 0
        self._overflow = False
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None

    def offer(self, events: list[Event]) -> None:
        if events[0].record.revision <= self._after:  # asked to begin in the future
            events = [e for e in events if e.record.revision > self._after]
            if not events:
                return
        self._size += len(events)
        if self._size > self._hub.bound:
            self._overflow = True
            self._pending.clear()
            self._hub.remove(self)
        else:
            self._pending.append(events)
        self._wake()

    def close(self) -> None:
        self._closed = True
        self._hub.remove(self)
        self._wake()

    async def __aiter__(self) -> AsyncIterator[list[Event]]:
        try:
            while self._after < self._live_from and not self._closed:
                page = await self._replay(self.prefix, self._after, self._live_from, PAGE)
                self._after = page[-1].record.revision if len(page) == PAGE else self._live_from
                if page:
                    yield page
            while True:
                if self._overflow:
                    raise Compacted(self._after, self._after + self._size + 1)
                if self._closed:
                    return
                if not self._pending:
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
                    continue
                batches, self._pending, self._size = self._pending, [], 0
                events = batches[0] if len(batches) == 1 else [e for batch in batches for e in batch]
                self._after = events[-1].record.revision
                yield events
        finally:
            self.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
