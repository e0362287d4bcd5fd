"""Latest-value cells: a stage publishes its newest value, readers see the newest, equal values are silence.

Many changes between two reads are one. Source of the idea: Envoy Gateway's message.Watchable (see docs/adr/0004).
"""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """One writer's newest value, for any number of readers on the same event loop."""

    def __init__(self, value: T) -> None:
        self._value = value
        self._version = 0
        self._changed = asyncio.Event()

    @property
    def value(self) -> T:
        return self._value

    def set(self, value: T) -> bool:
        """Publish; False when it says nothing new."""
        if value == self._value:
            return False
        self._value = value
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()
        return True

    def reader(self) -> Reader[T]:
        return Reader(self)


class Reader(Generic[T]):
    """One reader's place: the first `next()` gives the present value at once, later ones wait for a newer."""

    def __init__(self, cell: Latest[T]) -> None:
        self._cell = cell
        self._seen = -1

    async def next(self) -> T:
        cell = self._cell
        while self._seen == cell._version:
            await cell._changed.wait()
        self._seen = cell._version
        return cell._value
