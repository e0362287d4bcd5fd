"""The work queue: a key waits at most once, and is never worked on by two workers at a time.

A key added while it is worked on is queued again when that work is done. Failures come back with exponential delay.
"""

from __future__ import annotations

import asyncio
from collections import deque

from sampan.api.meta import Key
from sampan.base.clock import Clock
from sampan.base.tasks import Tasks

# Seconds before the first and the longest retry of a failing key.
_FIRST_DELAY, _LAST_DELAY = 0.005, 60.0


class WorkQueue:
    """`tasks` owns the waiting of delayed keys."""

    def __init__(self, clock: Clock, tasks: Tasks) -> None:
        self._clock = clock
        self._tasks = tasks
        self._order: deque[Key] = deque()
        self._dirty: set[Key] = set()
        self._processing: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._due: dict[Key, float] = {}
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        """Keys that wait now (delayed ones not counted)."""
        return len(self._order)

    def add(self, key: Key) -> None:
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._push(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Add later. Of several such times the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            self._tasks.start(f"delay {key}", self._wait(key, due, seconds))

    def add_failed(self, key: Key) -> float:
        """Add again after a delay that doubles with each failure. Returns the delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(_FIRST_DELAY * 2.0 ** min(failures, 32), _LAST_DELAY)
        self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """It went well: the next failure starts from the shortest delay."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """The next key; `done` must follow."""
        while not self._order:
            self._arrived.clear()
            await self._arrived.wait()
        key = self._order.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: Key) -> None:
        self._processing.discard(key)
        if key in self._dirty:
            self._push(key)

    def _push(self, key: Key) -> None:
        self._order.append(key)
        self._arrived.set()

    async def _wait(self, key: Key, due: float, seconds: float) -> None:
        await self._clock.sleep(seconds)
        if self._due.get(key) == due:  # else an earlier one has been there
            del self._due[key]
            self.add(key)
