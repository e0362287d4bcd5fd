"""The meaning of `Store`: one suite over every implementation."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.base.clock import FakeClock
from sampan.base.errors import Compacted, Conflict
from sampan.store.memory import MemoryStore
from sampan.store.sqlite import SqliteStore
from sampan.store.types import Event, Store, Watch

Make = Callable[..., Any]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A function that opens a new store of one kind."""
    count = 0

    @asynccontextmanager
    async def opened(bound: int = 1000) -> AsyncIterator[Store]:
        nonlocal count
        count += 1
        store: Store
        if request.param == "memory":
            store = MemoryStore(bound)
        else:
            store = await SqliteStore.open(tmp_path / f"{count}.db", clock=FakeClock(), bound=bound)
        try:
            yield store
        finally:
            await store.close()

    return opened


def run(make: Make, test: Callable[[Store], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with make(**options) as store:
            await asyncio.wait_for(test(store), 20)

    asyncio.run(main())


def text(event: Event) -> str:
    """'+k=v' for a put, '-k=v' for a delete, with '@' and its revision."""
    record = event.record
    return f"{'-' if event.deleted else '+'}{record.key}={record.value.decode()}@{record.revision}"


async def collect(watch: Watch, count: int) -> list[Event]:
    seen: list[Event] = []
    async for batch in watch:
        assert batch
        seen += batch
        if len(seen) >= count:
            break
    watch.close()
    return seen


def test_put_get_and_compare_and_swap(make: Make) -> None:
    async def test(store: Store) -> None:
        assert store.revision == 0
        assert store.get("/a") is None
        first = await store.put("/a", b"1", expect=0)
        assert (first.key, first.value, first.revision, first.created) == ("/a", b"1", 1, 1)
        with pytest.raises(Conflict) as caught:
            await store.put("/a", b"x", expect=0)
        assert caught.value.current is first
        second = await store.put("/a", b"2", expect=1)
        assert (second.revision, second.created) == (2, 1)
        with pytest.raises(Conflict):
            await store.put("/a", b"x", expect=1)
        with pytest.raises(Conflict) as caught:
            await store.put("/b", b"x", expect=7)
        assert caught.value.current is None
        assert (await store.put("/a", b"3")).revision == 3
        assert store.get("/a").value == b"3"  # type: ignore[union-attr]
        assert store.revision == 3

    run(make, test)


def test_delete_and_recreate(make: Make) -> None:
    async def test(store: Store) -> None:
        with pytest.raises(Conflict) as caught:
            await store.delete("/a")
        assert caught.value.current is None
        for round in range(3):
            await store.put("/a", b"v%d" % round, expect=0)
            with pytest.raises(Conflict):
                await store.delete("/a", expect=99)
            gone = await store.delete("/a", expect=round * 2 + 1)
            assert (gone.value, gone.revision, gone.created) == (b"v%d" % round, round * 2 + 2, round * 2 + 1)
            assert store.get("/a") is None
            assert store.list("/") == []

    run(make, test)


def test_held_is_made_once_with_the_revision(make: Make) -> None:
    async def test(store: Store) -> None:
        record = await store.put("/a", b"1", held=lambda revision: f"decoded@{revision}")
        assert record.held == "decoded@1"
        assert store.get("/a") is record

        def broken(revision: int) -> Any:
            raise ValueError("on purpose")

        with pytest.raises(ValueError, match="on purpose"):
            await store.put("/a", b"2", held=broken)
        assert store.get("/a") is record
        assert (await store.put("/a", b"3")).revision == 2

    run(make, test)


def test_list_by_prefix_after_and_limit(make: Make) -> None:
    async def test(store: Store) -> None:
        for key in ("/p/b", "/p/a", "/p/c", "/p", "/q/a", "/o/z", "/p/é"):
            await store.put(key, b"")

        def keys(*args: Any) -> list[str]:
            return [r.key for r in store.list(*args)]

        assert keys("/p/") == ["/p/a", "/p/b", "/p/c", "/p/é"]
        assert keys("/p/", "", 2) == ["/p/a", "/p/b"]
        assert keys("/p/", "/p/b", 1) == ["/p/c"]
        assert keys("/p/", "/p/bb") == ["/p/c", "/p/é"]
        assert keys("/p/", "/a") == ["/p/a", "/p/b", "/p/c", "/p/é"]
        assert keys("/p/", "/q") == []
        assert keys("") == sorted(["/p/b", "/p/a", "/p/c", "/p", "/q/a", "/o/z", "/p/é"])

    run(make, test)


def test_of_concurrent_writers_one_wins(make: Make) -> None:
    async def test(store: Store) -> None:
        made = await asyncio.gather(*(store.put("/a", b"%d" % i, expect=0) for i in range(50)), return_exceptions=True)
        assert sum(isinstance(m, Conflict) for m in made) == 49
        assert store.revision == 1

        async def increment() -> None:
            while True:
                now = store.get("/a")
                assert now
                try:
                    await store.put("/a", b"%d" % (int(now.value) + 1), expect=now.revision)
                    return
                except Conflict:
                    await asyncio.sleep(0)

        start = int(store.get("/a").value)  # type: ignore[union-attr]
        await asyncio.gather(*(increment() for _ in range(20)))
        assert int(store.get("/a").value) == start + 20  # type: ignore[union-attr]

    run(make, test)


def test_watch_replays_then_follows(make: Make) -> None:
    async def test(store: Store) -> None:
        await store.put("/a", b"1")
        await store.put("/other", b"x")
        await store.put("/a", b"2")
        watch = store.watch("/a", 0)
        later = store.watch("/a", 3)
        await store.delete("/a")
        await store.put("/a", b"3")
        seen = await collect(watch, 4)
        assert [text(e) for e in seen] == ["+/a=1@1", "+/a=2@3", "-/a=2@4", "+/a=3@5"]
        assert [e.previous and (e.previous.revision, e.previous.value) for e in seen] == [
            None,
            (1, b"1"),
            (3, b"2"),
            None,
        ]
        assert [e.record.created for e in seen] == [1, 1, 1, 5]
        assert [text(e) for e in await collect(later, 2)] == ["-/a=2@4", "+/a=3@5"]

    run(make, test)


def test_watch_from_the_future_waits_for_it(make: Make) -> None:
    async def test(store: Store) -> None:
        watch = store.watch("/", 2)
        for n in range(4):
            await store.put("/a", b"%d" % n)
        assert [text(e) for e in await collect(watch, 2)] == ["+/a=2@3", "+/a=3@4"]

    run(make, test)


def test_closing_a_watch_ends_it(make: Make) -> None:
    async def test(store: Store) -> None:
        watch = store.watch("/", 0)
        reading = asyncio.create_task(collect(watch, 1))
        await asyncio.sleep(0.01)
        watch.close()
        assert await reading == []

    run(make, test)


def test_watches_are_gap_free_under_concurrent_writes(make: Make) -> None:
    async def test(store: Store) -> None:
        total, chance = 400, random.Random(7)

        async def writer(name: int) -> None:
            for n in range(total // 4):
                await store.put(f"/k/{name}-{chance.randrange(5)}", b"%d" % n)
                if chance.random() < 0.1:
                    await asyncio.sleep(0)

        async def watcher() -> list[int]:
            await asyncio.sleep(chance.random() * 0.02)
            after, seen = 0, []
            while after < total:  # is interrupted and resumes now and then
                for event in await collect(store.watch("/k/", after), min(chance.randrange(1, 60), total - after)):
                    seen.append(event.record.revision)
                after = seen[-1]
            return seen

        _, *results = await asyncio.gather(
            asyncio.gather(*(writer(i) for i in range(4))), *(watcher() for _ in range(8))
        )
        for seen in results:
            assert seen == list(range(1, total + 1))

    run(make, test)


def test_a_slow_watcher_is_ended_and_the_others_are_not(make: Make) -> None:
    async def test(store: Store) -> None:
        slow, quick = store.watch("/", 0), store.watch("/", 0)
        reading = asyncio.create_task(collect(quick, 30))
        for _ in range(30):
            await store.put("/a", b"")
            await asyncio.sleep(0)
        with pytest.raises(Compacted):
            await collect(slow, 30)
        assert len(await reading) == 30
        assert len(await collect(store.watch("/", 0), 30)) == 30

    run(make, test, bound=20)


def test_history(make: Make) -> None:
    async def test(store: Store) -> None:
        for n in range(3):
            await store.put("/a", b"%d" % n)
            await store.put("/b", b"%d" % n)
        await store.delete("/a")
        events = await store.history("/a")
        assert [text(e) for e in events] == ["+/a=0@1", "+/a=1@3", "+/a=2@5", "-/a=2@7"]
        assert [text(e) for e in await store.history("/", 2, 4)] == ["+/a=1@3", "+/b=1@4"]
        assert [text(e) for e in await store.history("/", 2, 0, 1)] == ["+/a=1@3"]

    run(make, test)


def test_compaction(make: Make) -> None:
    async def test(store: Store) -> None:
        await store.put("/old", b"live")
        await store.put("/gone", b"x")
        await store.delete("/gone")
        await store.put("/a", b"1")
        await store.put("/a", b"2")
        await store.compact(4)
        for after in (0, 3):
            with pytest.raises(Compacted):
                store.watch("/", after)
            with pytest.raises(Compacted):
                await store.history("/", after)
        (event,) = await collect(store.watch("/", 4), 1)
        assert text(event) == "+/a=2@5"
        assert event.previous
        assert event.previous.value == b"1"
        assert [r.key for r in store.list("/")] == ["/a", "/old"]
        await store.compact(2)  # backwards: nothing
        await store.compact(99)
        with pytest.raises(Compacted):
            store.watch("/", 4)
        assert (await store.put("/gone", b"again", expect=0)).revision == 6
        assert (await store.put("/old", b"b", expect=1)).revision == 7
        assert [text(e) for e in await store.history("/", 5)] == ["+/gone=again@6", "+/old=b@7"]

    run(make, test)


Step = tuple[str, str, int]
KEYS = ["/a", "/b", "/b/c"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "create", "update", "delete", "compact"]), st.sampled_from(KEYS), st.integers(0, 9)
    ),
    max_size=40,
)


async def _against_model(store: Store, steps: list[Step]) -> None:
    """A dict and a list of texts are the model; at the end the history since the compaction must tell the same."""
    model: dict[str, tuple[bytes, int]] = {}
    told: list[tuple[int, str]] = []
    revision = compacted = 0
    for verb, key, number in steps:
        value, (_, at) = b"%d" % number, model.get(key, (b"", 0))
        if verb == "compact":
            await store.compact(min(number, revision))
            compacted = max(compacted, min(number, revision))
            continue
        expect = {"put": None, "create": 0, "update": number, "delete": None}[verb]
        allowed = (expect is None or expect == at) and not (verb == "delete" and at == 0)
        operation: Coroutine[Any, Any, Any] = store.delete(key) if verb == "delete" else store.put(key, value, expect)
        if not allowed:
            with pytest.raises(Conflict):
                await operation
            continue
        revision += 1
        assert (await operation).revision == revision
        if verb == "delete":
            told.append((revision, f"-{key}={model.pop(key)[0].decode()}@{revision}"))
        else:
            model[key] = (value, revision)
            told.append((revision, f"+{key}={number}@{revision}"))
    assert {r.key: (r.value, r.revision) for r in store.list("")} == model
    assert store.revision == revision
    expected = [t for at, t in told if at > compacted]
    assert [text(e) for e in await store.history("", compacted)] == expected
    if expected:
        assert [text(e) for e in await collect(store.watch("", compacted), len(expected))] == expected


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_sequence_agrees_with_a_model(make: Make, steps: list[Step]) -> None:
    run(make, lambda store: _against_model(store, steps))


def test_the_past_with_its_authors(make: Make) -> None:
    async def test(store: Store) -> None:
        await store.put("/a", b"1", author=b"ann")
        await store.put("/ab", b"1", author=b"eve")
        await store.put("/a", b"2", author=b"bob")
        await store.delete("/a", author=b"cid")
        await store.put("/a", b"3")
        found = await store.versions("/a")
        assert [(text(e), e.author, e.previous and e.previous.value) for e in found] == [
            ("+/a=1@1", b"ann", None),
            ("+/a=2@3", b"bob", b"1"),
            ("-/a=2@4", b"cid", b"2"),
            ("+/a=3@5", b"", None),
        ]
        assert [e.author for e in await store.history("")] == [b"ann", b"eve", b"bob", b"cid", b""]
        assert found[0].at > 0
        assert await store.revision_at(found[0].at) == 5  # the clock stands still
        assert await store.revision_at(found[0].at - 1) == 0
        await store.compact(3)
        assert [text(e) for e in await store.versions("/a")][-2:] == ["-/a=2@4", "+/a=3@5"]

    run(make, test)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=30), st.integers(0, 30))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_revision_of_the_past_can_be_listed(make: Make, steps: list[tuple[str, bool]], kept: int) -> None:
    async def test(store: Store) -> None:
        worlds = [dict[str, tuple[bytes, int]]()]
        for name, deleted in steps:
            world = dict(worlds[-1])
            if deleted and name in world:
                await store.delete(f"/{name}")
                del world[name]
            else:
                record = await store.put(f"/{name}", b"%d" % len(worlds))
                world[name] = (record.value, record.revision)
            worlds.append(world)
        await store.compact(kept)
        for revision, world in enumerate(worlds):
            if revision < min(kept, len(steps)):
                with pytest.raises(Compacted):
                    await store.at("/", revision)
            else:
                found = await store.at("/", revision)
                assert {r.key[1:]: (r.value, r.revision) for r in found} == world
                assert [r.key for r in found] == sorted(r.key for r in found)

    run(make, test)
