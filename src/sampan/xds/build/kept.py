"""What was made of parts, by the parts' keys: made again only when a part is another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K")
P = TypeVar("P")
M = TypeVar("M")


@dataclass(slots=True)
class Kept(Generic[K, P, M]):
    _made: dict[K, tuple[P, M]] = field(default_factory=dict)

    def all(self, parts: Iterable[tuple[K, P]], make: Callable[[P], M]) -> list[M]:
        """What is made of each; whatever is not among `parts` is forgotten. Of parts with one key the last is kept."""
        before, now, out = self._made, {}, []
        for key, part in parts:
            entry = before.get(key)
            # The same object is the usual case, and comparing deep values costs more than looking at that.
            if entry is None or entry[0] is not part:
                # An equal one takes its place, so that next time it is the same object.
                entry = (part, make(part) if entry is None or entry[0] != part else entry[1])
            now[key] = entry
            out.append(entry[1])
        self._made = now
        return out
