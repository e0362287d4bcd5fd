"""What many say, gathered as they come and go: the price of a change is what it changes, and some copying of dicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound="str | tuple[str, ...]")
V = TypeVar("V")


@dataclass(slots=True)
class InOrder(Generic[K, V]):
    """Values by key, read in the order of the keys: sorted again only when a key has come."""

    _all: dict[K, V] = field(default_factory=dict)
    _grown: bool = False

    def put(self, key: K, value: V | None) -> None:
        """None takes it away."""
        if value is not None:
            self._grown |= key not in self._all
            self._all[key] = value
        else:
            self._all.pop(key, None)

    def all(self) -> dict[K, V]:
        """The reader's own."""
        if self._grown:
            self._all = {key: self._all[key] for key in sorted(self._all)}
            self._grown = False
        return self._all.copy()


@dataclass(slots=True)
class Owned(Generic[K, V]):
    """Named values that owners have, several the same: that of the first in the order of owners counts."""

    _names: dict[K, tuple[str, ...]] = field(default_factory=dict)
    _claims: dict[str, dict[K, V]] = field(default_factory=dict)
    _first: dict[str, V] = field(default_factory=dict)

    def put(self, owner: K, values: Mapping[str, V]) -> None:
        """All that the owner has now."""
        before = self._names.pop(owner, ())
        if values:
            self._names[owner] = tuple(values)
        for name in before:
            del self._claims[name][owner]
        for name, value in values.items():
            self._claims.setdefault(name, {})[owner] = value
        for name in dict.fromkeys((*before, *values)):
            claims: dict[Any, V] = self._claims[name]
            if claims:
                self._first[name] = claims[min(claims)]
            else:
                del self._claims[name], self._first[name]

    def all(self) -> dict[str, V]:
        """The reader's own."""
        return self._first.copy()
