"""Runs controllers: one informer a resource, one queue a controller, and workers that reconcile keys."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.base import log
from sampan.base.clock import Clock
from sampan.base.tasks import Tasks
from sampan.client.env import Cache, Controller, Env
from sampan.client.events import EventRecorder
from sampan.client.informer import Handler, Informer
from sampan.client.queue import WorkQueue
from sampan.client.types import Client

_log = log.get("controller")
Watched = Callable[[Obj, Mapping[str, Cache]], Iterable[Key]]


@dataclass
class Stats:
    """What a controller did so far. `seconds` is the sum over all reconciles, `waiting` the keys in its queue."""

    reconciles: int = 0
    failures: int = 0
    seconds: float = 0.0
    waiting: int = 0


class ControllerManager:
    """Runs the rows of a table against one API. `start` and `stop` once each.

    Workers of a controller begin when all caches it reads are synced. `trims`: resource → what its informer keeps of
    an object.
    """

    def __init__(
        self,
        table: Iterable[Controller],
        client: Client,
        clock: Clock,
        *,
        chance: Callable[[], float] = random.random,
        trims: Mapping[str, Callable[[Obj], Obj]] = MappingProxyType({}),
    ) -> None:
        self._table = tuple(table)
        self._chance = chance
        self._client = client
        self._clock = clock
        self._tasks = Tasks("controllers")
        resources = dict.fromkeys(resource for row in self._table for resource in row.watches)
        self.informers = {r: Informer(client, r, clock=clock, chance=chance, trim=trims.get(r)) for r in resources}
        self._envs: dict[str, tuple[Env, dict[str, Cache]]] = {}
        self._custom: dict[str, asyncio.Task[None]] = {}
        self._queues = {row.name: WorkQueue(clock, self._tasks) for row in self._table}
        self._stats = {row.name: Stats() for row in self._table}

    def start(self) -> None:
        for row in self._table:
            recorder = EventRecorder(self._client, self._clock, component=row.name)
            self._tasks.start(f"{row.name}/events", recorder.run())
            caches: dict[str, Cache] = {resource: self.informers[resource] for resource in row.watches}
            env = Env(self._client, caches, self._clock, recorder)
            self._envs[row.name] = env, caches
            for resource in row.watches:
                self.informers[resource].add_handler(self._feed(row, row.watches[resource], env))
            for number in range(row.workers):
                self._tasks.start(f"{row.name}/{number}", self._work(row, env))
        for resource, informer in self.informers.items():
            self._tasks.start(f"informer/{resource}", informer.run())

    def follow(self, custom: Iterable[str]) -> None:
        """These custom resources exist now: informers begin and end, for the controllers of all resources."""
        wanted = set(custom)
        for resource in self._custom.keys() - wanted:
            self._custom.pop(resource).cancel()
            for _, caches in self._envs.values():
                caches.pop(resource, None)
        rows = [row for row in self._table if row.custom is not None]
        for resource in sorted(wanted - self._custom.keys()):
            informer = Informer(self._client, resource, clock=self._clock, chance=self._chance)
            for row in rows:
                assert row.custom is not None
                env, caches = self._envs[row.name]
                caches[resource] = informer
                informer.add_handler(self._feed(row, row.custom(resource), env))
            self._custom[resource] = self._tasks.start(f"informer/{resource}", informer.run())

    async def synced(self) -> None:
        """Return once every cache has seen its first list."""
        await asyncio.gather(*(informer.synced.wait() for informer in self.informers.values()))

    async def stop(self) -> None:
        await self._tasks.stop()

    def stats(self) -> dict[str, Stats]:
        for name, queue in self._queues.items():
            self._stats[name].waiting = len(queue)
        return self._stats

    def _feed(self, row: Controller, keys: Watched, env: Env) -> Handler:
        queue = self._queues[row.name]

        def changed(old: Obj | None, new: Obj | None) -> None:
            for obj in (old, new):
                if obj is not None:
                    for key in keys(obj, env.caches):
                        queue.add(key)

        return changed

    async def _work(self, row: Controller, env: Env) -> None:
        for resource in row.watches:
            await self.informers[resource].synced.wait()
        queue, stats = self._queues[row.name], self._stats[row.name]
        while True:
            key = await queue.get()
            begun = self._clock.monotonic()
            try:
                again = await row.reconcile(key, env)
            except Exception as error:
                stats.failures += 1
                _report(row.name, str(key), error, queue.add_failed(key))
            else:
                queue.forget(key)
                if again is not None:
                    queue.add_after(key, again.seconds)
            finally:
                queue.done(key)
                stats.reconciles += 1
                stats.seconds += self._clock.monotonic() - begun
            await asyncio.sleep(0)  # a key that is due again at once must not keep everybody else waiting


def _report(name: str, key: str, error: Exception, delay: float) -> None:
    """A lost race is normal, an API error is worth a line, anything else is a fault of ours and keeps its traceback."""
    if isinstance(error, ApiError) and error.reason in ("Conflict", "AlreadyExists"):
        _log.debug("%s %s: %s", name, key, error)
    elif isinstance(error, ApiError):
        _log.warning("%s %s: %s; again in %.3g s", name, key, error, delay)
    else:
        _log.error("%s %s failed; again in %.3g s", name, key, delay, exc_info=error)
