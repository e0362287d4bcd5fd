"""Watch semantics over the store in memory."""

import asyncio
import random

import pytest

from sampan.api.kinds import SCHEME
from sampan.api.status import ApiError
from sampan.server.binding import Binding
from sampan.server.watch import INITIAL_END, Asked, Watches
from sampan.store.memory import MemoryStore

PODS = Binding(SCHEME.by_id["pods"])


async def put(store, name, namespace="default", **labels):
    obj = {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": {"containers": []}}
    await store.put(PODS.key(namespace, name), PODS.encode(obj))


def seen(batches):
    return [
        (kind, held.obj["metadata"].get("name"), held.obj["metadata"]["resourceVersion"])
        for batch in batches
        for kind, held in batch
    ]


async def take(stream, count):
    """Batches until `count` events came."""
    batches = []
    async with asyncio.timeout(2):
        while sum(map(len, batches)) < count:
            batches.append(await anext(stream))
    await stream.aclose()
    return seen(batches)


def watches(store, seconds=60.0):
    return Watches(store, random.Random(1), seconds)


def test_from_a_revision_events_come_in_order_without_gaps():
    async def work():
        store = MemoryStore()
        await put(store, "a")
        await put(store, "b")
        stream = watches(store).follow(PODS, "", Asked(after="1"))
        await put(store, "a")
        await store.delete(PODS.key("default", "b"))
        return await take(stream, 3)

    assert asyncio.run(work()) == [("ADDED", "b", "2"), ("MODIFIED", "a", "3"), ("DELETED", "b", "4")]


@pytest.mark.parametrize("after", ["", "0"])
def test_without_a_revision_what_exists_comes_first(after):
    async def work():
        store = MemoryStore()
        await put(store, "a")
        await put(store, "x", "other")
        stream = watches(store).follow(PODS, "default", Asked(after=after))
        first = [await anext(stream)]
        await put(store, "a")
        await put(store, "y", "other")
        await put(store, "b")
        return seen(first) + await take(stream, 2)

    assert asyncio.run(work()) == [("ADDED", "a", "1"), ("MODIFIED", "a", "3"), ("ADDED", "b", "5")]


def test_selectors_turn_changes_into_arrivals_and_departures():
    async def work():
        store = MemoryStore()
        await put(store, "a", t="no")
        stream = watches(store).follow(PODS, "", Asked(after="1", labels="t=yes"))
        for value in ("yes", "yes", "no", "no", "yes"):
            await put(store, "a", t=value)
        await store.delete(PODS.key("default", "a"))
        return await take(stream, 5)

    assert asyncio.run(work()) == [
        ("ADDED", "a", "2"),
        ("MODIFIED", "a", "3"),
        ("DELETED", "a", "4"),
        ("ADDED", "a", "6"),
        ("DELETED", "a", "7"),
    ]


def test_what_leaves_the_selection_is_shown_as_it_was():
    async def work():
        store = MemoryStore()
        await put(store, "a", t="yes")
        stream = watches(store).follow(PODS, "", Asked(after="1", labels="t=yes"))
        await put(store, "a", t="no")
        batch = await anext(stream)
        await stream.aclose()
        return batch[0][1].obj["metadata"]

    metadata = asyncio.run(work())
    assert (metadata["labels"], metadata["resourceVersion"]) == ({"t": "yes"}, "2")


def test_bookmarks_carry_a_quiet_watch_forward():
    async def work():
        store = MemoryStore()
        stream = watches(store, 0.05).follow(PODS, "default", Asked(after="0", bookmarks=True))
        following = asyncio.create_task(take(stream, 2))
        await asyncio.sleep(0.01)
        await put(store, "x", "other")
        await asyncio.sleep(0.08)
        await put(store, "a")
        return await following

    assert asyncio.run(work()) == [("BOOKMARK", None, "1"), ("ADDED", "a", "2")]


def test_the_initial_list_ends_with_a_marked_bookmark():
    async def work():
        store = MemoryStore()
        await put(store, "a")
        asked = Asked(bookmarks=True, send_initial=True, match="NotOlderThan")
        stream = watches(store).follow(PODS, "", asked)
        batch = await anext(stream)
        await stream.aclose()
        return batch

    added, end = asyncio.run(work())
    assert added[0] == "ADDED"
    assert end[0] == "BOOKMARK"
    assert end[1].obj["metadata"]["annotations"] == {INITIAL_END: "true"}


def test_the_timeout_ends_it():
    async def work():
        stream = watches(MemoryStore()).follow(PODS, "", Asked(timeout=0.05))
        return [batch async for batch in stream]

    assert asyncio.run(work()) == []


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (Asked(after="1"), 410),
        (Asked(after="99"), 504),
        (Asked(after="x"), 400),
        (Asked(send_initial=True), 422),
        (Asked(match="Exact"), 422),
        (Asked(labels="a=("), 400),
    ],
)
def test_what_cannot_be_watched_is_refused_at_once(asked, code):
    async def work():
        store = MemoryStore()
        for name in "abc":
            await put(store, name)
        await store.compact(2)
        watches(store).follow(PODS, "", asked)

    with pytest.raises(ApiError) as error:
        asyncio.run(work())
    assert error.value.code == code


def test_a_watcher_that_falls_too_far_behind_is_told_to_list_again():
    async def work():
        store = MemoryStore(bound=3)
        stream = watches(store).follow(PODS, "", Asked(after="0"))
        following = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        for i in range(5):
            await put(store, f"p{i}")
        return await following

    with pytest.raises(ApiError, match="too old resource version"):
        asyncio.run(work())
