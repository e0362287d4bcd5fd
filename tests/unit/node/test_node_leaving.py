"""The waits at the end of a pod, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from fake_runtime import FakeRuntime

from sampan.api.meta import Obj
from sampan.base.clock import FakeClock
from sampan.base.errors import SampanError
from sampan.node import leaving
from sampan.node.runtime.types import Connections

POD = {"metadata": {"name": "web", "namespace": "ns", "uid": "u1"}}


class World:
    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.runtime = FakeRuntime(directory, self.clock)
        self.known = asyncio.Event()
        self.served: bool | Exception = True

    async def sent(self, pod: Obj) -> bool:
        await self.known.wait()
        if isinstance(self.served, Exception):
            raise self.served
        return self.served

    def leave(self) -> asyncio.Task[None]:
        return asyncio.create_task(leaving.drained(POD, self.sent, self.runtime, self.clock))


def play(directory: Path, scene: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(scene(World(directory)), 10)

    asyncio.run(main())


def test_the_senders_then_a_moment_then_what_has_arrived(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        w.runtime.busy = Connections(arriving=1)
        task = w.leave()
        await w.clock.advance(leaving.DRAIN_LIMIT - 0.1)
        assert not task.done()
        w.known.set()
        await w.clock.advance(leaving.SETTLE + 1)
        assert not task.done()
        w.runtime.busy = Connections(leaving=1)  # answers on their way are no reason to wait yet
        await w.clock.advance(leaving.LOOK)
        assert task.done()

    play(tmp_path, scene)


def test_who_was_sent_nothing_waits_for_nothing(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        w.served = False
        w.runtime.busy = Connections(arriving=1)
        w.known.set()
        task = w.leave()
        await w.clock.advance(0)
        assert task.done()

    play(tmp_path, scene)


def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        w.runtime.busy = Connections(arriving=1, leaving=1)
        task = w.leave()
        await w.clock.advance(leaving.DRAIN_LIMIT + leaving.SETTLE + leaving.ACCEPT_LIMIT - 0.1)
        assert not task.done()
        await w.clock.advance(0.2)
        assert task.done()
        delivering = asyncio.create_task(leaving.delivered("u1", w.runtime, w.clock))
        await w.clock.advance(leaving.DELIVER_LIMIT - 0.1)
        assert not delivering.done()
        await w.clock.advance(0.2)
        assert delivering.done()

    play(tmp_path, scene)


def test_a_failure_is_no_reason_to_stay(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        w.served = SampanError("no")
        w.known.set()
        task = w.leave()
        await w.clock.advance(leaving.SETTLE)
        assert task.done()
        assert task.exception() is None

    play(tmp_path, scene)
