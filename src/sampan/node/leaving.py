"""What a pod that ends waits for, so that no request of anybody is lost. Every wait has a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.base import log
from sampan.base.clock import Clock
from sampan.base.errors import SampanError
from sampan.node.runtime.types import Connections, Runtime

DRAIN_LIMIT = 10.0  # seconds for all who send to pods to know; one whose process was killed is back in less
SETTLE = 0.1  # seconds for connections that were on their way when the last of them knew
ACCEPT_LIMIT = 5.0  # seconds for the programs to accept what has arrived
DELIVER_LIMIT = 5.0  # seconds for the other sides to take what the programs sent last
LOOK = 0.02  # seconds between two looks: the kernel does not tell

# Returns when nothing sends new connections to the terminating pod; did anything?
Drained = Callable[[Obj], Coroutine[Any, Any, bool]]

T = TypeVar("T")
_log = log.get("node")


async def drained(pod: Obj, sent: Drained, runtime: Runtime, clock: Clock) -> None:
    """Return when no new connections come to the pod, and its programs have accepted those that came."""
    try:
        served = await _within(DRAIN_LIMIT, sent(pod), clock)
    except (SampanError, OSError) as error:
        served = None
        _log.warning("waiting for all to know that pod %s ends failed: %s", meta.key(pod), error)
    if served is False:
        return
    if served is None:
        _log.warning("pod %s ends, but it may still be sent new connections", meta.key(pod))
    await clock.sleep(SETTLE)
    await _none(lambda left: left.arriving, meta.uid(pod), ACCEPT_LIMIT, runtime, clock)


async def delivered(uid: str, runtime: Runtime, clock: Clock) -> None:
    """Return when the kernel has delivered what ended programs wrote: it is lost with the network namespace."""
    await _none(lambda left: left.leaving, uid, DELIVER_LIMIT, runtime, clock)


async def _none(which: Callable[[Connections], int], uid: str, limit: float, runtime: Runtime, clock: Clock) -> None:
    give_up = clock.monotonic() + limit
    try:
        while which(await runtime.connections(uid)) and clock.monotonic() < give_up:
            await clock.sleep(LOOK)
    except SampanError as error:
        _log.warning("%s", error)


async def _within(seconds: float, work: Awaitable[T], clock: Clock) -> T | None:
    """Its result, None when it takes longer."""
    task, limit = asyncio.ensure_future(work), asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, limit), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        limit.cancel()
