"""Every task has an owner and a name, and fails loudly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from sampan.base import log

_log = log.get("tasks")


class Tasks:
    """Owner of background tasks.

    `start` runs a coroutine under a name. A task that raises is logged with its traceback and reported to
    `on_failure` (default: nothing more). `stop` cancels all and waits for them. An owner is stopped once.
    """

    def __init__(self, owner: str, on_failure: Callable[[str, BaseException], None] | None = None) -> None:
        self.owner = owner
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=f"{self.owner}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def __len__(self) -> int:
        return len(self._tasks)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.error("task %s failed", task.get_name(), exc_info=error)
            if self._on_failure:
                self._on_failure(task.get_name(), error)

    async def stop(self) -> None:
        """Cancel every task, also those that others start on their way out, and wait until all have ended.

        A task of ours that calls this goes on.
        """
        while tasks := self._tasks - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
