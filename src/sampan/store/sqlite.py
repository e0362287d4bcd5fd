"""The store on disk. One write batch is under way at a time; what comes meanwhile is the next batch (group commit)."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sampan.base import log
from sampan.base.clock import Clock
from sampan.base.errors import StoreError, StoreUnavailable
from sampan.base.tasks import Tasks
from sampan.store.disk import Disk, rows_of
from sampan.store.state import State, Write
from sampan.store.types import Event, Record, Watch
from sampan.store.worker import Worker

_log = log.get("store")

# Rows looked at by one step of the sweep: a few milliseconds between two write batches.
_SWEEP_ROWS = 500

_Pending = tuple[Write, "asyncio.Future[Record]"]


class SqliteStore:
    """Implements `Store`. Made by `open`."""

    def __init__(self, disk: Disk, clock: Clock, keep: float, bound: int) -> None:
        self._disk = disk
        self._clock = clock
        self._keep = keep
        self._state = state = State(bound)
        state.revision, state.compacted, records, self._tombs = disk.load()
        state.records.update((r.key, r) for r in records)
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Pending] = []
        self._busy = False
        self._closed = False

    @classmethod
    async def open(cls, path: str | Path, *, clock: Clock, keep: float = 300.0, bound: int = 16_384) -> SqliteStore:
        """Open or create the file and start the upkeep. `keep`: seconds of history; `bound`: see `watching.Hub`.

        Raises UserError when the file cannot be opened or is damaged.
        """
        store = cls(Disk(Path(path)), clock, keep, bound)
        store._writer = Worker("store-writer")
        store._reader = Worker("store-reader")
        store._tasks = Tasks("store")
        store._tasks.start("upkeep", store._upkeep())
        return store

    _writer: Worker
    _reader: Worker
    _tasks: Tasks

    @property
    def revision(self) -> int:
        return self._state.revision

    def get(self, key: str) -> Record | None:
        return self._state.get(key)

    def list(self, prefix: str, after: str = "", limit: int = 0) -> builtins.list[Record]:
        return self._state.list(prefix, after, limit)

    async def put(
        self, key: str, value: bytes, expect: int | None = None, held: Callable[[int], Any] | None = None
    ) -> Record:
        return await self._enqueue(Write(key, value, expect, held))

    async def delete(self, key: str, expect: int | None = None) -> Record:
        return await self._enqueue(Write(key, None, expect, None))

    def watch(self, prefix: str, after: int) -> Watch:
        return self._state.watch(prefix, after, self._replay)

    async def history(self, prefix: str, after: int = 0, upto: int = 0, limit: int = 0) -> builtins.list[Event]:
        self._state.check_kept(after)
        upto = min(upto or self.revision, self.revision)
        events: builtins.list[Event] = await self._reader.run(lambda: self._disk.history(prefix, after, upto, limit))
        self._state.check_kept(after)  # compaction may have passed us while we read
        return events

    async def compact(self, revision: int) -> None:
        state = self._state
        revision = min(revision, state.revision)
        if revision > state.compacted:
            state.compacted = revision
            await self._writer.run(lambda: self._disk.mark_compacted(revision))
        await self._sweep()
        # Only now: until its rows are gone, a key made anew must continue from its deletion.
        self._tombs = {key: at for key, at in self._tombs.items() if at > state.compacted}

    async def close(self) -> None:
        """Write what is queued, end the watches, close the file."""
        self._closed = True
        await self._tasks.stop()
        while self._busy or self._waiting:
            await asyncio.sleep(0.001)
        self._state.hub.close()
        await self._reader.stop()
        await self._writer.stop()
        self._disk.close()

    # -- writing

    def _enqueue(self, write: Write) -> asyncio.Future[Record]:
        if self._closed:
            raise StoreUnavailable(f"the store {self._disk.path} is closed")
        future: asyncio.Future[Record] = self._loop.create_future()
        self._waiting.append((write, future))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._next_batch)  # not at once: others of this turn of the loop join the batch
        return future

    def _next_batch(self) -> None:
        """Decide all waiting writes in order and send those that may be to the disk."""
        waiting, self._waiting = self._waiting, []
        revision = self._state.revision
        overlay: dict[str, Record | None] = {}
        events: builtins.list[Event] = []
        futures: builtins.list[asyncio.Future[Record]] = []
        for write, future in waiting:
            try:
                event = self._state.judge(write, revision + 1, overlay)
            except Exception as refused:
                if not future.done():
                    future.set_exception(refused)
                continue
            revision += 1
            events.append(event)
            futures.append(future)
        if not events:
            self._batch_over()
            return
        rows = rows_of(events, self._tombs, self._clock.now().timestamp())
        self._writer.submit(lambda: self._disk.append(rows), lambda _, error: self._written(events, futures, error))

    def _written(
        self,
        events: builtins.list[Event],
        futures: builtins.list[asyncio.Future[Record]],
        error: BaseException | None,
    ) -> None:
        if error is not None:
            _log.error("%s", error)
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        else:
            for event in events:
                if event.deleted:
                    self._tombs[event.record.key] = event.record.revision
            self._state.apply(events)
            for event, future in zip(events, futures, strict=True):
                if not future.done():
                    future.set_result(event.record)
        self._batch_over()

    def _batch_over(self) -> None:
        if self._waiting:
            self._next_batch()
        else:
            self._busy = False

    # -- the past

    async def _replay(self, prefix: str, after: int, upto: int, limit: int) -> builtins.list[Event]:
        """History for a watch; a record that is still current comes with what readers hold of it."""
        current = self._state.records
        events = await self.history(prefix, after, upto, limit)
        for event in events:
            present = current.get(event.record.key)
            if present is not None and present.revision == event.record.revision:
                event.record.held = present.held
        return events

    async def _upkeep(self) -> None:
        """Forget history older than `keep`, now and then, in small steps between the writes."""
        while True:
            try:
                horizon = self._clock.now().timestamp() - self._keep
                await self.compact(await self._writer.run(partial(self._disk.newest_before, horizon)))
            except StoreError as error:
                _log.warning("history is not compacted: %s", error)
            await self._clock.sleep(max(self._keep / 5, 1.0))

    async def _sweep(self) -> None:
        swept = False
        while await self._writer.run(lambda: self._disk.sweep(_SWEEP_ROWS)):
            swept = True
            await asyncio.sleep(0)
        if swept:
            await self._writer.run(self._disk.shrink)
