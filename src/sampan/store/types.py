"""The storage contract: eleven verbs over keys and bytes.

Revisions are positive integers, one counter for the whole store; each write (put or delete) takes the next one.
Current records are read from memory and never wait; a write is acknowledged only after it is on disk.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(slots=True, eq=False)
class Record:
    """A key's value at a revision.

    `created` is the revision of the put that made the key. `held` is a place for the reader's decoded form of
    `value`, so that it is decoded once for all readers; the store itself never looks at it.
    """

    key: str
    value: bytes
    revision: int
    created: int
    held: Any = None


@dataclass(slots=True, frozen=True)
class Event:
    """One write. `record` has the write's revision; for a delete it carries the last value.

    `previous` is the record before this write, None for a create (and where the past before it is forgotten).
    `author` is what the writer said of itself, `at` the wall time of the write in seconds.
    """

    deleted: bool
    record: Record
    previous: Record | None
    author: bytes = b""
    at: float = 0.0


class Watch(Protocol):
    """A stream of events: ordered, unique, gap-free from the revision asked for."""

    def __aiter__(self) -> AsyncIterator[list[Event]]:
        """Yields non-empty batches. Ends when closed; raises Compacted when this watcher fell too far behind."""
        ...

    def close(self) -> None: ...


class Store(Protocol):
    """SQLite (`sqlite.py`) and memory (`memory.py`) implement it; `tests/contract/test_store.py` is its meaning."""

    @property
    def revision(self) -> int:
        """The revision of the newest acknowledged write, 0 when empty."""
        ...

    def get(self, key: str) -> Record | None: ...

    def list(self, prefix: str, after: str = "", limit: int = 0) -> list[Record]:
        """Current records whose key starts with `prefix` and sorts after `after`, by key; `limit` 0 is all."""
        ...

    async def put(
        self,
        key: str,
        value: bytes,
        expect: int | None = None,
        held: Callable[[int], Any] | None = None,
        author: bytes = b"",
    ) -> Record:
        """Write. `expect` 0: the key must not exist; N: it must be at revision N; None: whatever is there.

        `held`, when given, is called with the write's revision to make the record's decoded form. `author` is kept
        with the write for its history.
        Raises Conflict (with the current record) and StoreUnavailable.
        """
        ...

    async def delete(self, key: str, expect: int | None = None, author: bytes = b"") -> Record:
        """Delete and return the last record, at the deletion's revision. Raises Conflict (current None: no key)."""
        ...

    def watch(self, prefix: str, after: int) -> Watch:
        """Events with a revision above `after` (0 is not special), then live ones. Raises Compacted."""
        ...

    async def history(self, prefix: str, after: int = 0, upto: int = 0, limit: int = 0) -> builtins.list[Event]:
        """Kept events of the past, oldest first; `upto` 0 is the present. Raises Compacted."""
        ...

    async def versions(self, key: str) -> builtins.list[Event]:
        """All that is kept of one key's past, oldest first."""
        ...

    async def at(self, prefix: str, revision: int) -> builtins.list[Record]:
        """`list` as it was at a revision of the past. Raises Compacted."""
        ...

    async def revision_at(self, moment: float) -> int:
        """The newest kept revision written by this moment (wall seconds), 0 when none is."""
        ...

    async def compact(self, revision: int) -> None:
        """Forget events at or below `revision` that the current state does not need."""
        ...

    async def close(self) -> None: ...
