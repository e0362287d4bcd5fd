"""One nft transaction at a time.

The first change goes out at once; what changes while nft runs is in the next one. No timer waits for more, but for a
Service that has no endpoints yet: they follow within milliseconds, and one transaction is sooner than two. After a
failure the next transaction is the whole state again, after a pause that doubles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sampan.base import log
from sampan.base.clock import Clock
from sampan.base.errors import SampanError
from sampan.base.proc import run

Apply = Callable[[str], Awaitable[None]]
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 30.0
SOON_SECONDS = 0.01

_log = log.get("serviceproxy")


async def nft(text: str) -> None:
    """Run a transaction in the network namespace of this process. Raises ProcessError, UserError."""
    await run(["nft", "-f", "-"], text.encode())


async def _nothing() -> None:
    pass


class Transactions:
    """The loop. `text(whole)` gives the next transaction ("": nothing to do), `applied()` hears that it is in force.

    `before_all` is called before each that is the whole state: for those that have to look what there is.
    """

    def __init__(
        self,
        name: str,
        text: Callable[[bool], str],
        applied: Callable[[], Awaitable[None]],
        apply: Apply,
        clock: Clock,
        *,
        before_all: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        self._name = name
        self._text = text
        self._applied = applied
        self._apply = apply
        self._before_all = before_all
        self._clock = clock
        self._changed = asyncio.Event()
        self._told, self._done = 0, -1  # changes so far, and how many of them are in force
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._pause = 0.0
        self.synced = asyncio.Event()

    def changed(self) -> None:
        """Something is different from what was applied last."""
        self._told += 1
        self._changed.set()

    def changed_soon(self) -> None:
        """The same for what nobody waits for yet: it goes with the next change, or alone after SOON_SECONDS."""
        self._told += 1
        asyncio.get_running_loop().call_later(SOON_SECONDS, self._changed.set)

    async def caught_up(self) -> None:
        """Return when all that has changed by now is in force."""
        if self._done >= self._told:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = self._told
        try:
            await future
        finally:
            del self._waiting[future]

    async def run(self) -> None:
        """Apply the whole state, then each change, until cancelled."""
        whole = True
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            whole = not await self._once(whole)
            if whole:
                await self._clock.sleep(self._pause)
                self._changed.set()

    async def _once(self, whole: bool) -> bool:
        try:
            if whole:
                await self._before_all()
            told = self._told
            if text := self._text(whole):
                await self._apply(text)
            await self._applied()
        except (SampanError, OSError) as error:
            self._pause = min(max(2 * self._pause, PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
            _log.error("%s: %s; all again in %.1f s", self._name, error, self._pause)
            return False
        self._pause = 0.0
        self.synced.set()
        self._done = told
        for future, number in self._waiting.items():
            if number <= told and not future.done():
                future.set_result(None)
        return True
