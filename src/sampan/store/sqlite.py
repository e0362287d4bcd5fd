"""The store on disk. One write batch is under way at a time; what comes meanwhile is the next batch (group commit)."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sampan.base import log
from sampan.base.clock import Clock
from sampan.base.errors import StoreError, StoreUnavailable, UserError
from sampan.base.tasks import Tasks
from sampan.store.backup import take
from sampan.store.recovery import mark_closed, open_disk
from sampan.store.state import State, Write
from sampan.store.types import Event, Record, Watch
from sampan.store.worker import Worker

_log = log.get("store")

# Rows looked at by one step of the sweep: a few milliseconds between two write batches.
_SWEEP_ROWS = 500
# How long history is kept however large it is: clients that were away for a moment resume their watches in it.
_RESUME_SECONDS = 300.0
# What a row costs on disk beside its value, roughly.
_ROW_BYTES = 300
# A backup may take this part of the time.
_BACKUP_SHARE = 0.01

_Pending = tuple[Write, "asyncio.Future[Record]"]


@dataclass(frozen=True)
class Keep:
    """How long history is kept: `seconds`, or until it has `bytes` on disk, whichever is first.

    `backup`: seconds between two backups of a store that changes; 0 is never.
    """

    seconds: float = 86400.0
    bytes: int = 256 * 1024 * 1024
    backup: float = 300.0


class SqliteStore:
    """Implements `Store`. Made by `open`."""

    def __init__(self, path: Path, clock: Clock, keep: Keep, bound: int) -> None:
        self._clock = clock
        self._keep = keep
        self._state = state = State(bound)
        self._disk, state.revision, state.compacted, records = open_disk(path, clock.now())
        state.records.update((r.key, r) for r in records)
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Pending] = []
        self._busy = False
        self._closed = False
        self._writer = Worker("store-writer")
        self._reader = Worker("store-reader")
        self._tasks = Tasks("store")

    @classmethod
    async def open(
        cls, path: str | Path, *, clock: Clock, keep: Keep | None = None, bound: int = 16_384
    ) -> SqliteStore:
        """Open or create the file and start the upkeep. `bound`: see `watching.Hub`.

        A damaged file is restored from its own backup (`recovery.py`). Raises UserError when that cannot be, or when
        the file cannot be opened.
        """
        keep = keep or Keep()
        store = cls(Path(path), clock, keep, bound)
        store._tasks.start("upkeep", store._upkeep())
        if keep.backup:
            store._tasks.start("backup", store._back_up())
        return store

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
        return await self._enqueue(Write(key, value, expect, held, author))

    async def delete(self, key: str, expect: int | None = None, author: bytes = b"") -> Record:
        return await self._enqueue(Write(key, None, expect, None, author))

    def watch(self, prefix: str, after: int) -> Watch:
        return self._state.watch(prefix, after, self._replay)

    async def history(self, prefix: str, after: int = 0, upto: int = 0, limit: int = 0) -> builtins.list[Event]:
        self._state.check_kept(after)
        upto = min(upto or self.revision, self.revision)
        events: builtins.list[Event] = await self._reader.run(lambda: self._disk.history(prefix, after, upto, limit))
        self._state.check_kept(after)  # compaction may have passed us while we read
        return events

    async def versions(self, key: str) -> builtins.list[Event]:
        found: builtins.list[Event] = await self._reader.run(partial(self._disk.versions, key))
        return [event for event in found if event.record.revision <= self.revision]

    async def at(self, prefix: str, revision: int) -> builtins.list[Record]:
        self._state.check_kept(revision)
        upto = self.revision
        records = [record for record in self.list(prefix) if record.revision <= revision]
        if revision < upto:
            records += await self._reader.run(partial(self._disk.replaced, prefix, revision, upto))
            records.sort(key=lambda record: record.key)
            self._state.check_kept(revision)
        return records

    async def revision_at(self, moment: float) -> int:
        found: int = await self._reader.run(partial(self._disk.newest_at, moment))
        return found

    async def compact(self, revision: int) -> None:
        state = self._state
        revision = min(revision, state.revision)
        if revision > state.compacted:
            state.compacted = revision
            await self._writer.run(lambda: self._disk.mark_compacted(revision))
        await self._sweep()

    async def close(self) -> None:
        """Write what is queued, end the watches, close the file."""
        self._closed = True
        await self._tasks.stop()
        while self._busy or self._waiting:
            await asyncio.sleep(0.001)
        self._state.hub.close()
        await self._reader.stop()
        await self._writer.stop()
        path = self._disk.path
        self._disk.disconnect()
        mark_closed(path)
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
        revision, at = self._state.revision, self._clock.now().timestamp()
        overlay: dict[str, Record | None] = {}
        events: builtins.list[Event] = []
        futures: builtins.list[asyncio.Future[Record]] = []
        for write, future in waiting:
            try:
                event = self._state.judge(write, revision + 1, overlay, at)
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
        self._writer.submit(lambda: self._disk.append(events), lambda _, error: self._written(events, futures, error))

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
        """Forget history that is too old or too large, now and then, in small steps between the writes."""
        while True:
            try:
                await self.compact(await self.revision_at(self._clock.now().timestamp() - self._keep.seconds))
                await self._compact_to_size()
            except StoreError as error:
                _log.warning("history is not compacted: %s", error)
            await self._clock.sleep(min(max(self._keep.seconds / 5, 1.0), 60.0))

    async def _compact_to_size(self) -> None:
        """Forget a part of the oldest history after the other until the rest is small enough."""
        recent = await self.revision_at(self._clock.now().timestamp() - _RESUME_SECONDS)
        while await self._history_bytes() > self._keep.bytes and self._state.compacted < recent:
            oldest = self._state.compacted
            await self.compact(min(recent, oldest + max((recent - oldest) // 8, 100)))

    async def _history_bytes(self) -> int:
        live = sum(len(record.value) + _ROW_BYTES for record in self._state.records.values())
        used: int = await self._writer.run(self._disk.used)
        return used - live

    async def _back_up(self) -> None:
        """A copy of the file now and then, while there is something new to copy."""
        saved, pause = -1, self._keep.backup / 10
        while True:
            await self._clock.sleep(pause)
            if saved == self.revision:
                continue
            revision, began = self.revision, self._loop.time()
            try:
                await asyncio.to_thread(take, self._disk.path)
                saved = revision
            except UserError as error:
                _log.warning("%s", error)
            pause = max(self._keep.backup, (self._loop.time() - began) / _BACKUP_SHARE)

    async def _sweep(self) -> None:
        swept = False
        while await self._writer.run(lambda: self._disk.sweep(_SWEEP_ROWS)):
            swept = True
            await asyncio.sleep(0)
        if swept:
            await self._writer.run(self._disk.shrink)
