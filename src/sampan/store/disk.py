"""The SQLite file: schema, loading, appending, sweeping. Synchronous; `history` may run beside all others.

    log   id = revision · key · prev_revision (0: a create) · create_revision · deleted · at (wall seconds) · value
    meta  compacted: events up to here are forgotten · swept: rows up to here have been looked at by the sweep

A row is needed while it is its key's newest, or while the row after it is kept. A deletion's row has no value of its
own: the value is that of the row before it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from sampan.base.errors import StoreUnavailable, UserError
from sampan.store.types import Event, Record

T = TypeVar("T")
Row = tuple[int, str, int, int, int, float, bytes]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL,
  prev_revision INTEGER NOT NULL,
  create_revision INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  at REAL NOT NULL,
  value BLOB NOT NULL,
  UNIQUE (key, prev_revision)
);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('compacted', 0), ('swept', 0);
"""
_INSERT = "INSERT INTO log (id, key, prev_revision, create_revision, deleted, at, value) VALUES (?, ?, ?, ?, ?, ?, ?)"
# The + keeps SQLite from walking the whole index of keys where a short range of ids is asked for.
_HISTORY = """
SELECT e.id, e.key, e.create_revision, e.deleted, e.value, p.id, p.create_revision, p.value
FROM log AS e LEFT JOIN log AS p ON p.id = e.prev_revision AND NOT p.deleted
WHERE e.id > ? AND e.id <= ? AND +e.key >= ? AND +e.key < ? ORDER BY e.id LIMIT ?
"""
# Seconds to wait while another program holds the lock.
_LOCK_WAIT = 5.0


class Disk:
    """The file. `load` first; all others raise StoreUnavailable when the disk refuses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._lock = _lock(path)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite gives its side files the same mode
        except OSError as error:
            raise UserError(f"cannot open the store {path}: {error.strerror}", _advice(str(error), path)) from error
        try:
            self._writer = self._connect()
            self._writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.executescript(_SCHEMA)
            self._reader = self._connect()
        except sqlite3.Error as error:
            os.close(self._lock)
            raise self._damaged(error) from error

    def load(self) -> tuple[int, int, list[Record], dict[str, int]]:
        """(newest revision, compacted, current records, deleted keys with the revision of their deletion).

        Raises UserError when the file is damaged.
        """
        try:
            (revision,) = self._writer.execute(
                "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'log'), 0)"
            ).fetchone()
            records, tombs = [], {}
            for id, key, created, deleted, value in self._writer.execute(
                "SELECT id, key, create_revision, deleted, value FROM log "
                "WHERE id IN (SELECT max(id) FROM log GROUP BY key) ORDER BY key"
            ):
                if deleted:
                    tombs[key] = id
                else:
                    records.append(Record(key, value, id, created))
            return revision, self._meta("compacted"), records, tombs
        except sqlite3.Error as error:
            self.close()
            raise self._damaged(error) from error

    def append(self, rows: list[Row]) -> None:
        """Write all rows in one synced transaction, or none."""

        def write() -> None:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.executemany(_INSERT, rows)
            self._writer.execute("COMMIT")

        self._guard(write)

    def history(self, prefix: str, after: int, upto: int, limit: int) -> list[Event]:
        """Kept events with after < revision <= upto. Runs on its own connection, beside the writer."""
        end = prefix + "\U0010ffff"
        query = (after, upto, prefix, end, limit or -1)
        rows = self._guard(lambda: self._reader.execute(_HISTORY, query).fetchall(), self._reader)
        return [_event(*row) for row in rows]

    def mark_compacted(self, revision: int) -> None:
        """Forget events up to here: decided before the first row goes, so that a crash between cannot make a gap."""
        self._guard(lambda: self._writer.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (revision,)))

    def sweep(self, rows: int) -> bool:
        """Remove what up to `rows` forgotten revisions made superfluous. Was there anything to look at?"""

        def work() -> bool:
            compacted, low = self._meta("compacted"), self._meta("swept")
            if low >= compacted:
                return False
            high = min(low + rows, compacted)
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

    def newest_before(self, at: float) -> int:
        """The newest revision written before this moment, 0 if none. Revisions and times grow together: bisect."""
        one = "SELECT id, at FROM log WHERE id >= ? ORDER BY id LIMIT 1"

        def work() -> int:
            low, high = self._writer.execute("SELECT min(id), max(id) FROM log").fetchone()
            found = 0
            while low is not None and low <= high:
                middle = (low + high) // 2
                id, written = self._writer.execute(one, (middle,)).fetchone()
                if written < at:
                    found, low = id, id + 1
                else:
                    high = middle - 1
            return found

        return self._guard(work)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()
        os.close(self._lock)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_LOCK_WAIT, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA temp_store = MEMORY")
        return connection

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
            return UserError(f"cannot open the store {self.path}: {error}", _advice(str(error), self.path))
        return UserError(
            f"the store {self.path} is damaged: {error}",
            f"put a backup in its place, or start empty: mv {self.path} {self.path}.damaged",
        )


def _lock(path: Path) -> int:
    """A file of its own that keeps a second process out; the kernel lets go of it however we end."""
    fd = os.open(f"{path}-lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise UserError(
            f"the store {path} is in use by another process",
            f"stop it first (sampan down); `fuser {path}` names it",
        ) from None
    return fd


def _advice(text: str, path: Path) -> str:
    if "full" in text:
        return f"make room on the file system of {path.parent} (df -h {path.parent}); the next write tries again"
    if "readonly" in text or "read-only" in text:
        return f"make {path.parent} writable (mount -o remount,rw); the next write tries again"
    if "locked" in text:
        return f"another program holds a lock on it (fuser {path}); the next write tries again"
    return f"check that {path.parent} exists, is writable and its disk is healthy (dmesg)"


def _event(
    id: int, key: str, created: int, deleted: int, value: bytes, prev: int | None, prev_created: int, prev_value: bytes
) -> Event:
    previous = None if prev is None else Record(key, prev_value, prev, prev_created)
    record = Record(key, prev_value if deleted else value, id, created)
    return Event(bool(deleted), record, previous)


def rows_of(events: Iterable[Event], tombs: dict[str, int], at: float) -> list[Row]:
    """The rows that say these events. A key made anew continues from its deletion, which keeps UNIQUE true."""
    rows: list[Row] = []
    deleted_here: dict[str, int] = {}
    for event in events:
        record, previous = event.record, event.previous
        key, revision = record.key, record.revision
        if previous is not None:
            before = previous.revision
        else:
            before = deleted_here.get(key) or tombs.get(key, 0)
        if event.deleted:
            deleted_here[key] = revision
            rows.append((revision, key, before, record.created, 1, at, b""))
        else:
            rows.append((revision, key, before, record.created, 0, at, record.value))
    return rows
