"""The work queue and the controller loop, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fake_client import FakeClient

from sampan.api import status
from sampan.api.meta import Key, Obj, key
from sampan.base.clock import FakeClock
from sampan.base.tasks import Tasks
from sampan.client.controller import ControllerManager
from sampan.client.env import After, Controller, Env
from sampan.client.queue import WorkQueue

A, B = Key("ns", "a"), Key("ns", "b")


def run(test: Callable[[FakeClock], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(test(FakeClock()), 10)

    asyncio.run(main())


def test_a_key_waits_once_and_is_worked_on_once() -> None:
    async def test(clock: FakeClock) -> None:
        queue = WorkQueue(clock, Tasks("test"))
        for k in (A, B, A):
            queue.add(k)
        assert len(queue) == 2
        assert await queue.get() == A
        queue.add(A)  # while it is worked on: not handed out again before it is done
        queue.add(A)
        assert await queue.get() == B
        assert len(queue) == 0
        queue.done(A)
        assert await queue.get() == A
        queue.done(A)
        queue.done(B)
        assert len(queue) == 0

    run(test)


def test_delays_the_earliest_counts() -> None:
    async def test(clock: FakeClock) -> None:
        tasks = Tasks("test")
        queue = WorkQueue(clock, tasks)
        queue.add_after(A, 10)
        queue.add_after(A, 5)
        queue.add_after(A, 20)
        await clock.advance(4.9)
        assert len(queue) == 0
        await clock.advance(0.2)
        assert await queue.get() == A
        queue.done(A)
        await clock.advance(30)
        assert len(queue) == 0
        await tasks.stop()

    run(test)


def test_failures_double_the_delay_until_forgotten() -> None:
    async def test(clock: FakeClock) -> None:
        tasks = Tasks("test")
        queue = WorkQueue(clock, tasks)
        assert [queue.add_failed(A) for _ in range(4)] == [0.005, 0.01, 0.02, 0.04]
        for _ in range(40):
            longest = queue.add_failed(A)
        assert longest == 60
        queue.forget(A)
        assert queue.add_failed(A) == 0.005
        await tasks.stop()

    run(test)


def pod(name: str) -> Obj:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns"}, "spec": {}}


class Log:
    """A reconcile that writes down what it saw, and does what the test says."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, str]] = []
        self.answer: Callable[[], After | None] = lambda: None

    async def __call__(self, key: Key, env: Env) -> After | None:
        present = env.caches["pods"].get(key)
        self.seen.append((round(env.clock.monotonic(), 3), ("" if present else "no ") + key.name))
        return self.answer()


def managed(test: Callable[[FakeClock, FakeClient, Log, ControllerManager], Awaitable[None]], workers: int = 1) -> None:
    async def main(clock: FakeClock) -> None:
        client, log = FakeClient(clock), Log()
        row = Controller("test", {"pods": lambda obj, caches: [key(obj)]}, log, workers)
        manager = ControllerManager([row], client, clock, chance=lambda: 0.0)
        try:
            await test(clock, client, log, manager)
        finally:
            await manager.stop()
            await client.close()

    run(main)


def test_reconciles_what_exists_and_what_changes() -> None:
    async def test(clock: FakeClock, client: FakeClient, log: Log, manager: ControllerManager) -> None:
        await client.create("pods", pod("a"))
        manager.start()
        await manager.synced()
        await clock.advance(0)
        await client.create("pods", pod("b"))
        await clock.advance(0)
        await client.delete("pods", "a", "ns")
        await clock.advance(0)
        assert [what for _, what in log.seen] == ["a", "b", "no a"]
        assert manager.stats()["test"].reconciles == 3

    managed(test)


def test_work_waits_for_the_caches() -> None:
    async def test(clock: FakeClock, client: FakeClient, log: Log, manager: ControllerManager) -> None:
        client.fail("list", "pods", status.unavailable("down"))
        await client.create("pods", pod("a"))
        manager.start()
        await clock.advance(0.05)
        assert log.seen == []
        await clock.advance(0.1)
        assert log.seen == [(0.1, "a")]

    managed(test)


def test_failures_come_back_and_after_comes_back() -> None:
    async def test(clock: FakeClock, client: FakeClient, log: Log, manager: ControllerManager) -> None:
        answers: list[Exception | After | None] = [
            RuntimeError("on purpose"), status.conflict("pods", "a"), status.unavailable("x"), After(5), None
        ]  # fmt: skip

        def answer() -> After | None:
            next_one = answers.pop(0)
            if isinstance(next_one, Exception):
                raise next_one
            return next_one

        log.answer = answer
        await client.create("pods", pod("a"))
        manager.start()
        await clock.advance(20)
        assert [at for at, _ in log.seen] == [0, 0.005, 0.015, 0.035, 5.035]
        assert manager.stats()["test"].failures == 3

    managed(test)


def test_two_workers_never_share_a_key() -> None:
    async def test(clock: FakeClock) -> None:
        client, active, most = FakeClient(clock), set[Key](), 0

        async def slow(key: Key, env: Env) -> None:
            nonlocal most
            assert key not in active
            active.add(key)
            most = max(most, len(active))
            await env.clock.sleep(1)
            active.discard(key)

        row = Controller("test", {"pods": lambda obj, caches: [key(obj)]}, slow, 4)
        manager = ControllerManager([row], client, clock)
        manager.start()
        for n in range(6):
            await client.create("pods", pod(f"p{n % 3}-{n}"))
            await client.patch("pods", f"p{n % 3}-{n}", "ns", {"spec": {"n": n}})
            await clock.advance(0.3)
        await clock.advance(10)
        assert most > 1
        assert manager.stats()["test"].failures == 0
        await manager.stop()

    run(test)
