"""Values flow, not calls: a stage publishes its newest value; equal values are silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """One newest value. A new reader first gets the present value; many changes between two reads are one."""

    def __init__(self, value: T) -> None:
        self._value = value
        self._version = 0
        self._changed = asyncio.Event()

    @property
    def value(self) -> T:
        return self._value

    def publish(self, value: T) -> None:
        """Make `value` the newest one; nobody is woken when it equals the present one."""
        if value == self._value and self._version:
            return
        self._value = value
        self._version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def read(self) -> AsyncIterator[T]:
        """Yield the present value once one was published, then each newer one."""
        seen = 0
        while True:
            while self._version == seen:
                await self._changed.wait()
            seen = self._version
            yield self._value
