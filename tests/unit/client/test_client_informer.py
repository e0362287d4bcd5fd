"""The informer against the fake client: first list, changes, broken watches, and revisions that are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fake_client import FakeClient

from sampan.api import status
from sampan.api.meta import Key, Obj, name
from sampan.base.clock import FakeClock
from sampan.base.tasks import Tasks
from sampan.client.informer import Informer


def pod(pod_name: str, namespace: str = "ns", owner: str = "", **labels: str) -> Obj:
    metadata: Obj = {"name": pod_name, "namespace": namespace, "labels": labels}
    if owner:
        metadata["ownerReferences"] = [{"uid": owner}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}}


class World:
    """A fake API, an informer on its pods, and the changes its handler was told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.client = FakeClient(self.clock)
        self.told: list[str] = []

    def informer(self, **options: Any) -> Informer:
        informer = Informer(self.client, "pods", clock=self.clock, chance=lambda: 0.0, **options)
        informer.add_handler(self.tell)
        return informer

    def tell(self, old: Obj | None, new: Obj | None) -> None:
        sign = "+" if old is None else "-" if new is None else "~"
        self.told.append(sign + name(new or old or {}))

    async def settle(self) -> list[str]:
        await self.clock.advance(0)
        told, self.told = self.told, []
        return told


def run(test: Callable[[World, Tasks], Awaitable[None]]) -> None:
    async def main() -> None:
        world, tasks = World(), Tasks("test")
        try:
            await asyncio.wait_for(test(world, tasks), 10)
        finally:
            await tasks.stop()
            await world.client.close()

    asyncio.run(main())


def test_lists_follows_and_indexes() -> None:
    async def test(world: World, tasks: Tasks) -> None:
        await world.client.create("pods", pod("a", owner="u1"))
        await world.client.create("pods", pod("b", "other"))
        informer = world.informer()
        assert not informer.synced.is_set()
        tasks.start("informer", informer.run())
        assert await world.settle() == ["+a", "+b"]
        assert informer.synced.is_set()
        assert [name(o) for o in informer.list("other")] == ["b"]
        assert [name(o) for o in informer.owned_by("u1")] == ["a"]
        await world.client.patch("pods", "a", "ns", {"metadata": {"ownerReferences": [{"uid": "u2"}]}})
        await world.client.delete("pods", "b", "other")
        await world.client.create("pods", pod("c"))
        assert await world.settle() == ["~a", "-b", "+c"]
        assert list(informer.owned_by("u1")) == []
        assert [name(o) for o in informer.owned_by("u2")] == ["a"]
        assert list(informer.list("other")) == []
        assert {name(o) for o in informer.list()} == {"a", "c"}
        assert informer.get(Key("ns", "c")) is not None
        assert informer.get(Key("other", "b")) is None

    run(test)


def test_selectors_make_leaving_a_deletion() -> None:
    async def test(world: World, tasks: Tasks) -> None:
        await world.client.create("pods", pod("a", app="x"))
        await world.client.create("pods", pod("b", app="y"))
        tasks.start("informer", world.informer(labels="app=x").run())
        assert await world.settle() == ["+a"]
        await world.client.patch("pods", "a", "ns", {"metadata": {"labels": {"app": "y"}}})
        assert await world.settle() == ["-a"]

    run(test)


def test_a_late_handler_hears_what_is_there() -> None:
    async def test(world: World, tasks: Tasks) -> None:
        await world.client.create("pods", pod("a"))
        informer = world.informer()
        tasks.start("informer", informer.run())
        await world.settle()
        informer.add_handler(world.tell)
        assert await world.settle() == ["+a"]

    run(test)


def test_errors_are_retried_with_growing_pauses_and_no_second_list() -> None:
    async def test(world: World, tasks: Tasks) -> None:
        world.client.fail("list", "pods", status.unavailable("down"))
        world.client.fail("watch", "pods", status.unavailable("down"), times=3)
        informer = world.informer()
        tasks.start("informer", informer.run())
        await world.settle()
        assert not informer.synced.is_set()
        await world.clock.advance(0.11)  # lists, then the watch fails: pauses of 0.2, 0.4, 0.8
        assert informer.synced.is_set()
        world.client.fail("list", "pods", RuntimeError("a second list"))
        await world.client.create("pods", pod("a"))
        await world.clock.advance(1.3)
        assert await world.settle() == []
        await world.clock.advance(0.2)
        assert await world.settle() == ["+a"]

    run(test)


@pytest.mark.parametrize(
    "error",
    [
        status.gone("too old resource version: 1 (5)"),
        status.ApiError(504, "Timeout", "Timeout: Too large resource version: 9, current: 1"),
    ],
)
def test_a_revision_the_server_cannot_continue_means_a_new_list_and_the_difference(error: status.ApiError) -> None:
    async def test(world: World, tasks: Tasks) -> None:
        for pod_name in ("same", "changed", "deleted", "reborn"):
            await world.client.create("pods", pod(pod_name))
        informer = world.informer()
        world.client.fail("watch", "pods", error)
        tasks.start("informer", informer.run())
        assert len(await world.settle()) == 4
        await world.client.patch("pods", "changed", "ns", {"spec": {"x": 1}})
        await world.client.delete("pods", "deleted", "ns")
        await world.client.delete("pods", "reborn", "ns")
        await world.client.create("pods", pod("reborn"))
        await world.client.create("pods", pod("new"))
        await world.clock.advance(1)
        assert sorted(await world.settle()) == ["+new", "-deleted", "~changed", "~reborn"]

    run(test)


def test_a_failing_handler_does_not_stop_the_others() -> None:
    async def test(world: World, tasks: Tasks) -> None:
        def broken(old: Obj | None, new: Obj | None) -> None:
            raise RuntimeError("on purpose")

        informer = Informer(world.client, "pods", clock=world.clock)
        informer.add_handler(broken)
        informer.add_handler(world.tell)
        await world.client.create("pods", pod("a"))
        tasks.start("informer", informer.run())
        assert await world.settle() == ["+a"]

    run(test)


def test_a_revision_is_reached_when_handlers_have_heard_of_it() -> None:
    async def test(world: World, tasks: Tasks) -> None:
        informer = world.informer()
        tasks.start("informer", informer.run())
        first = await world.client.create("pods", pod("a"))
        await world.settle()
        await informer.reached(int(first["metadata"]["resourceVersion"]))
        world.client.fail("watch", "pods", status.gone("too old resource version: 1 (5)"))
        waiting = asyncio.create_task(informer.reached(int(first["metadata"]["resourceVersion"]) + 1))
        await world.settle()
        assert not waiting.done()
        await world.client.create("pods", pod("b"))
        await waiting
        assert world.told == ["+b"]

    run(test)
