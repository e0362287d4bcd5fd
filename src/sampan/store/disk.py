"""The SQLite file: loading, appending, reading the past, sweeping. Synchronous; reads of the past may run beside all
others. What a row is: `rows.py`. What happens to a damaged file: `recovery.py`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from sampan.base.errors import StoreUnavailable, UserError
from sampan.store import rows
from sampan.store.types import Event, Record

T = TypeVar("T")

# Seconds to wait while another program holds the lock.
_LOCK_WAIT = 5.0
_END = "\U0010ffff"


class Damaged(UserError):
    """The file is not what was written."""


class Disk:
    """The file, made when there is none. `load` first; all others raise StoreUnavailable when the disk refuses.

    `lock`: the descriptor that keeps other processes out; `close` closes it too. The constructor and `load` raise
    Damaged, and UserError when the file cannot be used for another reason.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite gives its side files the same mode
        except OSError as error:
            raise cannot_open(path, error) from error
        self._open: list[sqlite3.Connection] = []
        try:
            self._writer = self._connect()
            self._writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._writer.execute("PRAGMA journal_mode = WAL")
            rows.migrate(self._writer)
            self._reader = self._connect()
        except sqlite3.Error as error:
            self.disconnect()
            raise self._damaged(error) from error

    def load(self, verify: bool) -> tuple[int, int, list[Record]]:
        """(newest revision, compacted, current records). `verify`: look at every page and at every record's sum."""
        try:
            if verify:
                self._verify()
            (revision,) = self._writer.execute(
                "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'log'), 0)"
            ).fetchone()
            records = []
            for found in self._writer.execute(rows.NEWEST):
                if verify and not rows.intact(found):
                    raise sqlite3.DatabaseError(f"revision {found[0]} of {found[1]} is not what was written")
                id, key, _, created, *_, value = found
                records.append(Record(key, value, id, created))
            return revision, self._meta("compacted"), records
        except sqlite3.Error as error:
            self.disconnect()
            raise self._damaged(error) from error

    def append(self, events: Iterable[Event]) -> None:
        """Write all events in one synced transaction, or none."""
        self.insert(map(rows.row, events))

    def insert(self, written: Iterable[rows.Row]) -> None:
        def write() -> None:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.executemany(rows.INSERT, written)
            self._writer.execute("COMMIT")

        self._guard(write)

    # -- the past, on a connection of its own, beside the writer

    def history(self, prefix: str, after: int, upto: int, limit: int) -> list[Event]:
        """Kept events with after < revision <= upto."""
        query = (after, upto, prefix, prefix + _END, limit or -1)
        return self._guard(lambda: [rows.event(*r) for r in self._reader.execute(rows.HISTORY, query)], self._reader)

    def versions(self, key: str) -> list[Event]:
        """Kept events of one key."""
        return self._guard(lambda: [rows.event(*r) for r in self._reader.execute(rows.VERSIONS, (key,))], self._reader)

    def replaced(self, prefix: str, revision: int, upto: int) -> list[Record]:
        """Records that were current at `revision` and are not any more at `upto`."""
        query = (prefix, prefix + _END, revision, upto, revision)
        return self._guard(lambda: [Record(*r) for r in self._reader.execute(rows.REPLACED, query)], self._reader)

    def newest_at(self, moment: float) -> int:
        """The newest revision written by this moment, 0 if none. Revisions and times grow together: bisect."""
        one = "SELECT id, at FROM log WHERE id >= ? ORDER BY id LIMIT 1"

        def work() -> int:
            low, high = self._reader.execute("SELECT min(id), max(id) FROM log").fetchone()
            found = 0
            while low is not None and low <= high:
                middle = (low + high) // 2
                id, written = self._reader.execute(one, (middle,)).fetchone()
                if written <= moment:
                    found, low = id, id + 1
                else:
                    high = middle - 1
            return found

        return self._guard(work, self._reader)

    # -- upkeep

    def used(self) -> int:
        """Bytes of the file that hold something."""

        def work() -> int:
            pages, free, size = (
                int(self._writer.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size")
            )
            return (pages - free) * size

        return self._guard(work)

    def mark_compacted(self, revision: int) -> None:
        """Forget events up to here: decided before the first row goes, so that a crash between cannot make a gap."""
        self._guard(lambda: self._writer.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (revision,)))

    def sweep(self, count: int) -> bool:
        """Remove what up to `count` forgotten revisions made superfluous. Was there anything to look at?"""

        def work() -> bool:
            compacted, low = self._meta("compacted"), self._meta("swept")
            if low >= compacted:
                return False
            last = self._writer.execute("SELECT id FROM log WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?", (low, count))
            high = min([compacted, *(id for (id,) in last)])
            between = (low, high)
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.execute(
                "DELETE FROM log WHERE id IN (SELECT prev_revision FROM log WHERE id > ? AND id <= ?)", between
            )
            self._writer.execute("DELETE FROM log WHERE id > ? AND id <= ? AND deleted", between)
            self._writer.execute("UPDATE meta SET value = ? WHERE name = 'swept'", (high,))
            self._writer.execute("COMMIT")
            return True

        return self._guard(work)

    def shrink(self) -> None:
        """Give freed pages back to the file system and fold the WAL into the file. A busy reader postpones it."""

        def work() -> None:
            self._writer.execute("PRAGMA incremental_vacuum(2000)").fetchall()
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        self._guard(work)

    def skip_to(self, revision: int) -> None:
        """The next write is past this revision, and nothing before it can be asked for."""

        def work() -> None:
            self._writer.execute("BEGIN IMMEDIATE")
            rows.set_newest(self._writer, revision)
            self._writer.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (revision,))
            self._writer.execute("COMMIT")

        self._guard(work)

    def disconnect(self) -> None:
        """Close the file, keep the lock."""
        while self._open:
            self._open.pop().close()

    def close(self) -> None:
        self.disconnect()
        os.close(self._lock)

    # -- helpers

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_LOCK_WAIT, isolation_level=None, check_same_thread=False)
        self._open.append(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA temp_store = MEMORY")
        return connection

    def _verify(self) -> None:
        (found,) = self._writer.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found.replace("\n", " "))

    def _meta(self, name: str) -> int:
        value: int = self._writer.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0]
        return value

    def _guard(self, work: Callable[[], T], connection: sqlite3.Connection | None = None) -> T:
        """Run `work`; a refusal of the disk undoes it whole and says what to do."""
        try:
            return work()
        except sqlite3.Error as error:
            connection = connection or self._writer
            if connection.in_transaction:
                connection.rollback()
            raise StoreUnavailable(f"cannot use {self.path}: {error}; {_advice(str(error), self.path)}") from error

    def _damaged(self, error: sqlite3.Error) -> UserError:
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            return cannot_open(self.path, error)
        return Damaged(
            f"the store {self.path} is damaged: {error}",
            f"put a backup in its place (sampan restore FILE), or start empty: mv {self.path} {self.path}.damaged",
        )


def cannot_open(path: Path, error: Exception) -> UserError:
    text = (error.strerror if isinstance(error, OSError) else "") or str(error)
    return UserError(f"cannot open the store {path}: {text}", _advice(str(error), path))


def _advice(text: str, path: Path) -> str:
    folder = path.parent
    if "full" in text or "No space" in text:
        return f"make room on the file system of {folder} (df -h {folder}); the next write tries again"
    if "readonly" in text or "ead-only" in text:
        return f"make {folder} writable (mount -o remount,rw, chmod); the next write tries again"
    if "locked" in text:
        return f"another program holds a lock on it (fuser {path}); the next write tries again"
    return f"check that {folder} exists, is writable and its disk is healthy (dmesg)"
