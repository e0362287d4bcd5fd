"""What a controller's `reconcile(key, env)` is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sampan.api.meta import Key, Obj
from sampan.base.clock import Clock
from sampan.client.types import Client


class Cache(Protocol):
    """An informer's local copy of one resource. Objects are read-only."""

    def get(self, key: Key) -> Obj | None: ...
    def list(self, namespace: str = "") -> Iterable[Obj]:
        """All objects, or those of one namespace."""
        ...

    def owned_by(self, uid: str) -> Iterable[Obj]:
        """Objects with an owner reference to this uid."""
        ...


class Recorder(Protocol):
    """Writes events; the same event again raises its count. Never fails, never waits."""

    def event(self, about: Obj, type: str, reason: str, message: str) -> None:
        """`type` is Normal or Warning."""
        ...


@dataclass(frozen=True)
class Env:
    """`caches` has exactly the resources the controller's row names."""

    client: Client
    caches: Mapping[str, Cache]
    clock: Clock
    events: Recorder


@dataclass(frozen=True)
class After:
    """Reconcile this key again after so many seconds."""

    seconds: float


class Reconcile(Protocol):
    async def __call__(self, key: Key, env: Env) -> After | None: ...


@dataclass(frozen=True)
class Controller:
    """One row of `controllers.table`.

    `watches`: resource → which keys a changed object of it concerns. An update calls it with the old and with the new
    object, a delete with the last one. `reconcile` is called for one key at a time per key, several keys at once; an
    exception puts the key back with exponential back-off, `After` puts it back later.

    `custom`: for a controller of all resources, the same function for one that appears at run time.
    """

    name: str
    watches: Mapping[str, Callable[[Obj, Mapping[str, Cache]], Iterable[Key]]]
    reconcile: Reconcile
    workers: int = 4
    custom: Callable[[str], Callable[[Obj, Mapping[str, Cache]], Iterable[Key]]] | None = None
