"""What both stores share: the current records in memory, ordered by key, and the rules of a write. No I/O."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

from sortedcontainers import SortedDict

from sampan.base.errors import Compacted, Conflict
from sampan.store.types import Event, Record
from sampan.store.watching import Hub, Replay, Subscription


class Write(NamedTuple):
    """A put or, when `value` is None, a delete."""

    key: str
    value: bytes | None
    expect: int | None
    held: Callable[[int], Any] | None
    author: bytes = b""


class State:
    """Current records, the newest revision and the watches. `compacted`: events up to here are forgotten."""

    def __init__(self, bound: int) -> None:
        self.revision = 0
        self.compacted = 0
        self.records: SortedDict[str, Record] = SortedDict()
        self.hub = Hub(bound)

    def get(self, key: str) -> Record | None:
        record: Record | None = self.records.get(key)
        return record

    def list(self, prefix: str, after: str, limit: int) -> builtins.list[Record]:
        records = self.records
        first, inclusive = (after, False) if after >= prefix else (prefix, True)
        keys = records.irange(first, prefix + "\U0010ffff", (inclusive, True))
        return [records[key] for key in (islice(keys, limit) if limit else keys)]

    def judge(self, write: Write, revision: int, overlay: dict[str, Record | None], at: float) -> Event:
        """The event this write is at `revision`, seen after the uncommitted ones in `overlay`. Raises Conflict."""
        key, value, expect, held, author = write
        previous = overlay[key] if key in overlay else self.records.get(key)
        present = 0 if previous is None else previous.revision
        if expect is not None and expect != present:
            raise Conflict(key, previous)
        if value is None:
            if previous is None:
                raise Conflict(key, None)
            record = Record(key, previous.value, revision, previous.created)
        else:
            record = Record(key, value, revision, previous.created if previous is not None else revision)
        if held is not None:
            record.held = held(revision)
        overlay[key] = None if value is None else record
        return Event(value is None, record, previous, author, at)

    def apply(self, events: builtins.list[Event]) -> None:
        """Make committed writes visible, then tell the watches."""
        records = self.records
        for event in events:
            record = event.record
            if event.deleted:
                del records[record.key]
            else:
                records[record.key] = record
        self.revision = events[-1].record.revision
        self.hub.publish(events)

    def check_kept(self, after: int) -> None:
        if after < self.compacted:
            raise Compacted(after, self.compacted + 1)

    def watch(self, prefix: str, after: int, replay: Replay) -> Subscription:
        self.check_kept(after)
        return self.hub.open(prefix, after, self.revision, replay)
