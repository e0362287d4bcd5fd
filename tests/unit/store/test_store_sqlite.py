"""What only the store on disk has: durability, restarts, upkeep, and disks that refuse."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sampan.base.clock import FakeClock
from sampan.base.errors import Compacted, StoreUnavailable, UserError
from sampan.store.sqlite import Keep, SqliteStore

Step = Callable[[SqliteStore], Awaitable[Any]]


def sessions(path: Path, *steps: Step, **options: Any) -> None:
    """Run each step against the store freshly opened."""

    async def main() -> None:
        for step in steps:
            store = await SqliteStore.open(path, **{"clock": FakeClock(), **options})
            try:
                await asyncio.wait_for(step(store), 20)
            finally:
                await store.close()

    asyncio.run(main())


def count_rows(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        return int(connection.execute("SELECT count(*) FROM log").fetchone()[0])


def test_state_history_and_revision_survive_a_restart(tmp_path: Path) -> None:
    async def write(store: SqliteStore) -> None:
        await store.put("/a", b"1")
        await store.put("/a", b"2")
        await store.put("/b", b"x")
        await store.delete("/b")

    async def read(store: SqliteStore) -> None:
        record = store.get("/a")
        assert record
        assert (record.value, record.revision, record.created, store.revision) == (b"2", 2, 1, 4)
        assert [(e.record.revision, e.deleted) for e in await store.history("")] == [
            (1, False), (2, False), (3, False), (4, True)
        ]  # fmt: skip
        assert (await store.put("/b", b"again", expect=0)).revision == 5

    sessions(tmp_path / "s.db", write, read)
    assert (tmp_path / "s.db").stat().st_mode & 0o777 == 0o600


def test_restart_when_everything_is_older_than_the_compaction(tmp_path: Path) -> None:
    async def write(store: SqliteStore) -> None:
        await store.put("/live", b"1")
        for _ in range(3):
            await store.put("/gone", b"x")
            await store.delete("/gone")
        await store.compact(store.revision)

    async def read(store: SqliteStore) -> None:
        assert (store.revision, [r.key for r in store.list("")]) == (7, ["/live"])
        with pytest.raises(Compacted):
            store.watch("", 6)
        store.watch("", 7).close()
        assert (await store.put("/gone", b"new", expect=0)).revision == 8

    sessions(tmp_path / "s.db", write, read, _at_eight)
    assert count_rows(tmp_path / "s.db") == 2


async def _at_eight(store: SqliteStore) -> None:
    assert store.revision == 8


def test_a_sweep_cut_short_goes_on_after_a_restart(tmp_path: Path) -> None:
    async def write(store: SqliteStore) -> None:
        for n in range(20):
            await store.put("/a", b"%d" % n)
        store._disk.mark_compacted(20)  # as if killed right after the decision

    async def read(store: SqliteStore) -> None:
        with pytest.raises(Compacted):
            await store.history("", 10)
        await store.compact(0)

    sessions(tmp_path / "s.db", write, read)
    assert count_rows(tmp_path / "s.db") == 1


def test_upkeep_forgets_what_is_older_than_the_window(tmp_path: Path) -> None:
    clock = FakeClock()

    async def test(store: SqliteStore) -> None:
        for n in range(1200):
            await store.put(f"/{n % 10}", b"old")
        await clock.advance(50)
        await store.put("/0", b"new")
        await clock.advance(60)
        for _ in range(35):  # the upkeep also waits for a real thread
            await asyncio.sleep(0.005)
            await clock.advance(1)
        with pytest.raises(Compacted):
            store.watch("", 1199)
        assert [e.record.value for e in await store.history("", 1200)] == [b"new"]

    sessions(tmp_path / "s.db", test, clock=clock, keep=Keep(seconds=100, backup=0))
    assert count_rows(tmp_path / "s.db") == 11


def test_group_commit(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        batches = []
        append = store._disk.append
        store._disk.append = lambda rows: (batches.append(len(rows)), append(rows))[1]  # type: ignore[method-assign]
        await asyncio.gather(*(store.put(f"/{n}", b"x") for n in range(500)))
        assert sum(batches) == 500
        assert len(batches) <= 3

    sessions(tmp_path / "s.db", test)


def test_a_cancelled_writer_does_not_disturb_the_batch(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        first = asyncio.create_task(store.put("/a", b"1"))  # type: ignore[var-annotated]
        second = asyncio.create_task(store.put("/b", b"1"))  # type: ignore[var-annotated]
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).revision == 2
        assert store.get("/a") is not None

    sessions(tmp_path / "s.db", test)


def test_a_refusing_disk_fails_the_batch_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "s.db"

    async def test(store: SqliteStore) -> None:
        await store.put("/a", b"1")
        (pages,) = store._disk._writer.execute("PRAGMA page_count").fetchone()
        store._disk._writer.execute(f"PRAGMA max_page_count = {pages}")
        watch = store.watch("", 1)
        refused = await asyncio.gather(store.put("/a", b"x" * 100_000), store.put("/b", b"y"), return_exceptions=True)
        for error in refused:
            assert isinstance(error, StoreUnavailable)
            assert str(path) in str(error)
            assert "make room" in str(error)
        assert store.revision == 1
        assert store.get("/a").value == b"1"  # type: ignore[union-attr]
        assert len(await store.history("")) == 1
        store._disk._writer.execute("PRAGMA max_page_count = 1000000")
        assert (await store.put("/a", b"2")).revision == 2
        async for batch in watch:
            assert [e.record.value for e in batch] == [b"2"]
            break
        store._disk._writer.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreUnavailable, match=r"readonly.*writable"):
            await store.put("/a", b"3")

    sessions(path, test)
    assert "make room" in caplog.text


@pytest.mark.parametrize("damage", ["header", "middle", "cut"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "s.db"

    async def write(store: SqliteStore) -> None:
        for n in range(300):
            await store.put(f"/{n}", b"x" * 500)

    sessions(path, write)
    data = bytearray(path.read_bytes())
    if damage == "header":
        data[:100] = b"?" * 100
    elif damage == "middle":
        data[8192:-4096] = b"?" * (len(data) - 8192 - 4096)
    else:
        del data[len(data) // 2 :]
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        sessions(path, _at_eight)
    assert str(path) in caught.value.message
    assert "damaged" in caught.value.message
    path.unlink()
    for side in ("-wal", "-shm"):
        path.with_name(path.name + side).unlink(missing_ok=True)
    sessions(path, write)  # nothing of the failed opening is left in the way


def test_a_second_opener_is_kept_out(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        with pytest.raises(UserError, match="in use by another process"):
            await SqliteStore.open(tmp_path / "s.db", clock=FakeClock())
        await store.put("/a", b"1")

    async def later(store: SqliteStore) -> None:
        assert store.revision == 1

    sessions(tmp_path / "s.db", test, later)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        sessions(tmp_path / "nowhere" / "s.db", _at_eight)


WRITER = """
import asyncio, sys
from sampan.base.clock import SystemClock
from sampan.store.sqlite import Keep, SqliteStore

async def main():
    store = await SqliteStore.open(sys.argv[1], clock=SystemClock(), keep=Keep(seconds=0.05))
    async def writer(name):
        n = 0
        while True:
            n += 1
            record = await store.put(f"/{name}", b"%d" % n)
            print(name, n, record.revision, flush=True)
            if n % 7 == 0:
                record = await store.delete(f"/{name}")
                print(name, 0, record.revision, flush=True)
            if n % 50 == 0:
                await store.compact(store.revision - 100)
    await asyncio.gather(*(writer(i) for i in range(8)))

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", time.time_ns() % 10_000))
    print(f"repeat with SEED={seed}")
    chance = random.Random(seed)
    path = tmp_path / "s.db"
    newest = 0
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout
        lines = [process.stdout.readline()]
        time.sleep(chance.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines()
        process.wait()
        acknowledged: dict[str, tuple[int, int]] = {}
        for line in lines:
            if len(words := line.split()) == 3:
                acknowledged[words[0]] = (int(words[1]), int(words[2]))
        newest = max([newest, *(revision for _, revision in acknowledged.values())])

        async def check(
            store: SqliteStore, acknowledged: dict[str, tuple[int, int]] = acknowledged, newest: int = newest
        ) -> None:
            assert store.revision >= newest
            for name, (number, revision) in acknowledged.items():
                record = store.get(f"/{name}")
                if record is not None and record.revision == revision:
                    assert int(record.value) == number
                elif record is not None:  # one write more was on its way when it was killed
                    assert record.revision > revision
                else:
                    assert number % 7 == 0
            events = await store.history("", store._state.compacted)
            assert [e.record.revision for e in events] == list(range(store._state.compacted + 1, store.revision + 1))

        sessions(path, check)
    assert newest > 100
