"""What a row of the log is: its schema, its statements, its checksum. Pure but for `migrate`.

    log   id = revision · key · prev_revision (0: a create) · create_revision · deleted · at (wall seconds) ·
          author · sum (CRC-32 of all the others) · value
    meta  compacted: events up to here are forgotten · swept: rows up to here have been looked at by the sweep

A row is needed while it is its key's newest, or while the row after it is kept. A deletion's row has no value of its
own: the value is that of the row before it. The value comes last: what is left of it SQLite reads without it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from zlib import crc32

from sampan.store.types import Event, Record

VERSION = 2
# (id, key, prev_revision, create_revision, deleted, at, author, sum, value)
Row = tuple[int, str, int, int, int, float, bytes, int, bytes]

SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL,
  prev_revision INTEGER NOT NULL,
  create_revision INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  at REAL NOT NULL,
  author BLOB NOT NULL,
  sum INTEGER NOT NULL,
  value BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS log_by_key ON log (key, prev_revision);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('compacted', 0), ('swept', 0);
"""
COLUMNS = "id, key, prev_revision, create_revision, deleted, at, author, sum, value"
INSERT = f"INSERT INTO log ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_EVENT = """
SELECT e.id, e.key, e.create_revision, e.deleted, e.at, e.author, e.value, p.id, p.create_revision, p.value
FROM log AS e LEFT JOIN log AS p ON p.id = e.prev_revision
"""
# The + keeps SQLite from walking the whole index of keys where a short range of ids is asked for.
HISTORY = f"{_EVENT} WHERE e.id > ? AND e.id <= ? AND +e.key >= ? AND +e.key < ? ORDER BY e.id LIMIT ?"
VERSIONS = f"{_EVENT} WHERE e.key = ? ORDER BY e.id"
NEWEST = f"SELECT {COLUMNS} FROM log WHERE id IN (SELECT max(id) FROM log GROUP BY key) AND NOT deleted ORDER BY key"
# What was current at a revision and is not any more: the index alone finds it.
REPLACED = """
SELECT p.key, p.value, p.id, p.create_revision FROM log AS n JOIN log AS p ON p.id = n.prev_revision
WHERE n.key >= ? AND n.key < ? AND n.id > ? AND n.id <= ? AND n.prev_revision BETWEEN 1 AND ?
"""


def row(event: Event) -> Row:
    """The row that says this event."""
    record, previous = event.record, event.previous
    value = b"" if event.deleted else record.value
    before = previous.revision if previous is not None else 0
    fields = (record.revision, record.key, before, record.created, int(event.deleted), event.at, event.author)
    return (*fields, checksum(*fields, value), value)


def checksum(id: int, key: str, before: int, created: int, deleted: int, at: float, author: bytes, value: bytes) -> int:
    head = f"{id} {key} {before} {created} {deleted} {at!r} ".encode()
    return crc32(value, crc32(author, crc32(head)))


def intact(found: Row) -> bool:
    """Is this row as it was written?"""
    try:
        return checksum(*found[:7], found[8]) == found[7]
    except (TypeError, ValueError, AttributeError):
        return False  # not even the types are right


def event(
    id: int,
    key: str,
    created: int,
    deleted: int,
    at: float,
    author: bytes,
    value: bytes,
    prev: int | None,
    prev_created: int,
    prev_value: bytes,
) -> Event:
    """A row of `HISTORY` or `VERSIONS`."""
    previous = None if prev is None else Record(key, prev_value, prev, prev_created)
    record = Record(key, prev_value if deleted and previous else value, id, created)
    return Event(bool(deleted), record, previous, author, at)


def migrate(connection: sqlite3.Connection) -> None:
    """Create the tables, or bring those of an earlier version to this one. Raises sqlite3.Error."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'log'").fetchone():
        _from_first(connection)
    connection.executescript(f"{SCHEMA} PRAGMA user_version = {VERSION};")


def set_newest(connection: sqlite3.Connection, revision: int) -> None:
    """The next row gets a revision above this one."""
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'log'")
    connection.execute("INSERT INTO sqlite_sequence VALUES ('log', ?)", (revision,))


def _from_first(connection: sqlite3.Connection) -> None:
    """Version 1 had no author and no sum, and a key made anew continued from its deletion."""
    connection.execute("BEGIN IMMEDIATE")
    newest = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone() or (0,)
    connection.execute("ALTER TABLE log RENAME TO first")
    connection.execute(SCHEMA.split(";")[0])
    old = connection.execute(
        "SELECT e.id, e.key, CASE WHEN e.id = e.create_revision THEN 0 ELSE e.prev_revision END, e.create_revision, "
        "e.deleted, e.at, e.value FROM first AS e"
    )
    connection.executemany(INSERT, _with_sums(old))
    connection.execute("DROP TABLE first")
    set_newest(connection, *newest)
    connection.execute("COMMIT")


def _with_sums(old: Iterable[tuple[int, str, int, int, int, float, bytes]]) -> Iterable[Row]:
    for id, key, before, created, deleted, at, value in old:
        total = checksum(id, key, before, created, deleted, at, b"", value)
        yield id, key, before, created, deleted, at, b"", total, value
