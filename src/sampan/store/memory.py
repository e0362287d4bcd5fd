"""The store in memory: for tests, and the plainest reading of the contract."""

from __future__ import annotations

import builtins
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from sampan.base.clock import Clock, FakeClock
from sampan.store.state import State, Write
from sampan.store.types import Event, Record, Watch


class MemoryStore:
    """Implements `Store`; nothing outlives the process. `bound`: see `watching.Hub`."""

    def __init__(self, bound: int = 16_384, clock: Clock | None = None) -> None:
        self._state = State(bound)
        self._clock = clock or FakeClock()
        self._log: list[Event] = []

    @property
    def revision(self) -> int:
        return self._state.revision

    def get(self, key: str) -> Record | None:
        return self._state.get(key)

    def list(self, prefix: str, after: str = "", limit: int = 0) -> builtins.list[Record]:
        return self._state.list(prefix, after, limit)

    async def put(
        self,
        key: str,
        value: bytes,
        expect: int | None = None,
        held: Callable[[int], Any] | None = None,
        author: bytes = b"",
    ) -> Record:
        return self._write(Write(key, value, expect, held, author))

    async def delete(self, key: str, expect: int | None = None, author: bytes = b"") -> Record:
        return self._write(Write(key, None, expect, None, author))

    def watch(self, prefix: str, after: int) -> Watch:
        return self._state.watch(prefix, after, self.history)

    async def history(self, prefix: str, after: int = 0, upto: int = 0, limit: int = 0) -> builtins.list[Event]:
        self._state.check_kept(after)
        first, last = self._position(after), self._position(upto or self.revision)
        found = [e for e in self._log[first:last] if e.record.key.startswith(prefix)]
        return found[:limit] if limit else found

    async def versions(self, key: str) -> builtins.list[Event]:
        return [e for e in self._log if e.record.key == key]

    async def at(self, prefix: str, revision: int) -> builtins.list[Record]:
        self._state.check_kept(revision)
        kept = [r for r in self._state.list(prefix, "", 0) if r.revision <= revision]
        lost = [e.previous for e in self._log[self._position(revision) :] if e.record.key.startswith(prefix)]
        return sorted([*kept, *(r for r in lost if r and r.revision <= revision)], key=lambda r: r.key)

    async def revision_at(self, moment: float) -> int:
        return max((e.record.revision for e in self._log if e.at <= moment), default=0)

    async def compact(self, revision: int) -> None:
        revision = min(revision, self.revision)
        if revision > self._state.compacted:
            del self._log[: self._position(revision)]
            self._state.compacted = revision

    async def close(self) -> None:
        self._state.hub.close()

    def _write(self, write: Write) -> Record:
        event = self._state.judge(write, self._state.revision + 1, {}, self._clock.now().timestamp())
        self._log.append(event)
        self._state.apply([event])
        return event.record

    def _position(self, revision: int) -> int:
        """How many kept events are at or below `revision`."""
        return bisect_right(self._log, revision, key=lambda e: e.record.revision)
