"""A store that was damaged is noticed at its next opening and restored from its own backup, with a report."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sampan.base.clock import FakeClock
from sampan.base.errors import Compacted, UserError
from sampan.store import backup, recovery
from sampan.store.disk import Disk
from sampan.store.sqlite import Keep, SqliteStore

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def session(path: Path, step: Callable[[SqliteStore], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        store = await SqliteStore.open(path, **{"clock": FakeClock(), **options})
        try:
            return await asyncio.wait_for(step(store), 20)
        finally:
            await store.close()

    return asyncio.run(main())


async def fill(store: SqliteStore) -> None:
    for n in range(300):
        await store.put(f"/{n:03}", b"x" * 500)


async def content(store: SqliteStore) -> dict[str, bytes]:
    return {r.key: r.value for r in store.list("")}


def backed_up(path: Path) -> None:
    """300 keys, a backup, and one more write that only the store has."""
    session(path, fill)
    backup.take(path)
    session(path, lambda store: store.put("/late", b"only here"))


def header(data: bytearray) -> None:
    data[:100] = b"?" * 100


def middle(data: bytearray) -> None:
    data[8192:-4096] = b"?" * (len(data) - 12288)


def cut(data: bytearray) -> None:
    del data[len(data) // 2 :]


def emptied(data: bytearray) -> None:
    data.clear()


def one_letter(data: bytearray) -> None:
    """Still a correct SQLite file, only not what was written."""
    at = data.index(b"x" * 500)
    data[at : at + 1] = b"y"


@pytest.mark.parametrize("damage", [header, middle, cut, emptied, one_letter])
def test_a_damaged_store_is_restored(tmp_path: Path, damage: Callable[[bytearray], None]) -> None:
    path = tmp_path / "s.db"
    backed_up(path)
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)

    async def check(store: SqliteStore) -> None:
        found = await content(store)
        assert len(found.keys() - {"/late"}) == 300
        assert set(found.values()) <= {b"x" * 500, b"only here"}
        assert store.revision > 1_000_000  # nobody saw a revision this high before
        with pytest.raises(Compacted):
            store.watch("", 301)
        assert (await store.put("/new", b"1")).revision == store.revision

    session(path, check)
    (report,) = recovery.restorations(path)
    text = report.read_text()
    assert str(path) in text
    assert "restored from the backup" in text
    assert "revision 300" in text
    (aside,) = tmp_path.glob("s.db.damaged-*Z")
    assert aside.read_bytes()[4096:] == data[4096:]  # as it was found (SQLite counts openings on the first page)
    assert str(aside) in text
    session(path, content)
    assert len(recovery.restorations(path)) == 1  # healthy ever after


def test_what_a_damaged_store_still_has_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    backed_up(path)
    data = bytearray(path.read_bytes())
    one_letter(data)
    path.write_bytes(data)
    assert session(path, content)["/late"] == b"only here"
    assert "Nothing that was acknowledged is lost" in recovery.restorations(path)[0].read_text()


def test_what_is_lost_is_said(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    backed_up(path)
    path.write_bytes(b"?" * 5000)
    assert "/late" not in session(path, content)
    assert "Writes from revision 301 to the last one are lost" in recovery.restorations(path)[0].read_text()


def test_a_store_that_was_deleted_is_restored(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    backed_up(path)
    path.unlink()
    assert len(session(path, content)) == 300
    assert "is gone" in recovery.restorations(path)[0].read_text()


def test_a_damaged_backup_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    session(path, fill)
    first = backup.take(path)
    session(path, lambda store: store.put("/more", b"1"))
    second = backup.take(path)
    assert backup.backups(path) == [first, second]
    second.write_bytes(b"?" * 9000)
    path.write_bytes(b"?" * 9000)
    assert len(session(path, content)) == 300


def test_without_a_backup_the_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"?" * 9000)
    with pytest.raises(UserError, match="damaged") as caught:
        session(path, content)
    assert "sampan restore" in caught.value.hint
    assert path.read_bytes() == b"?" * 9000  # not touched


def test_only_a_store_that_may_have_changed_is_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.db"
    verified: list[bool] = []
    load = Disk.load

    def noted(disk: Disk, verify: bool) -> Any:
        verified.append(verify)
        return load(disk, verify)

    monkeypatch.setattr(Disk, "load", noted)
    session(path, fill)
    session(path, content)
    path.touch()
    session(path, content)
    Path(f"{path}-closed").unlink()  # as after kill -9
    session(path, content)
    assert verified == [True, False, True, True]


def test_backups_are_made_while_it_runs_and_the_newest_are_kept(tmp_path: Path) -> None:
    path, clock = tmp_path / "s.db", FakeClock()

    async def test(store: SqliteStore) -> None:
        for n in range(4):
            await store.put("/a", b"%d" % n)
            while not (tmp_path / "backups" / f"{n + 1:020}.db").exists():
                await clock.advance(20)
                await asyncio.sleep(0.005)

    session(path, test, clock=clock, keep=Keep(backup=10))
    assert [int(p.stem) for p in backup.backups(path)] == [3, 4]
    assert backup.backups(path)[0].stat().st_mode & 0o777 == 0o600


def test_put_in_place(tmp_path: Path) -> None:
    path, copy = tmp_path / "s.db", tmp_path / "copy"
    session(path, fill)
    assert backup.copy(path, copy) == 300
    with pytest.raises(UserError, match="exists already"):
        backup.copy(path, copy)
    session(path, lambda store: store.put("/late", b"1"))
    assert recovery.put_in_place(path, copy, NOW) == 300
    assert "/late" not in session(path, content)
    (tmp_path / "junk").write_text("no store")
    with pytest.raises(UserError, match="no backup of a store"):
        recovery.put_in_place(path, tmp_path / "junk", NOW)
    assert len(session(path, content)) == 300


def test_history_is_kept_within_its_size(tmp_path: Path) -> None:
    path, clock = tmp_path / "s.db", FakeClock()

    async def test(store: SqliteStore) -> None:
        await store.put("/other", b"kept")
        for n in range(600):
            await store.put("/a", b"%d" % n * 1000)
        await clock.advance(400)
        await store.put("/a", b"recent")
        before = store._state.compacted
        for _ in range(100):
            await asyncio.sleep(0.01)
            await clock.advance(1)
        assert before < store._state.compacted < 602
        assert await store._history_bytes() < 500_000
        assert [e.record.value for e in await store.history("", 601)] == [b"recent"]

    session(path, test, clock=clock, keep=Keep(bytes=500_000, backup=0))


OLD = """
CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, prev_revision INTEGER NOT NULL,
  create_revision INTEGER NOT NULL, deleted INTEGER NOT NULL, at REAL NOT NULL, value BLOB NOT NULL,
  UNIQUE (key, prev_revision));
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('compacted', 1), ('swept', 1);
INSERT INTO log VALUES (2, '/a', 0, 2, 0, 5.5, x'31'), (3, '/a', 2, 2, 1, 6.5, x''), (4, '/a', 3, 4, 0, 7.5, x'32');
UPDATE sqlite_sequence SET seq = 9;
"""


def test_a_store_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    connection = sqlite3.connect(path)
    connection.executescript(OLD)
    connection.close()

    async def check(store: SqliteStore) -> None:
        assert (store.revision, await content(store)) == (9, {"/a": b"2"})
        events = await store.history("", 1)
        assert [(e.record.revision, e.deleted, e.previous is None, e.at) for e in events] == [
            (2, False, True, 5.5), (3, True, False, 6.5), (4, False, True, 7.5)
        ]  # fmt: skip
        assert (await store.put("/b", b"1")).revision == 10

    session(path, check, keep=Keep(seconds=1e10))
    session(path, lambda store: store.put("/c", b"1"))
