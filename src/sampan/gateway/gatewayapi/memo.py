"""Work that is done once: what was made of some objects is kept as long as all that it read is the same.

A function gets a `View` to read through, and what it read is noted. `View.once` runs it again when one of these, or of
its arguments, is another object than before; so the price of a change is what depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, TypeVarTuple

from sampan.api import meta
from sampan.api.meta import Key, Obj

T = TypeVar("T")
A = TypeVarTuple("A")
Source = Callable[[Any], Any]
_Read = tuple[str, Any]


@dataclass(slots=True)
class _Entry:
    args: tuple[Any, ...]
    reads: dict[_Read, Any]
    value: Any
    used: int


@dataclass(slots=True)
class Memo:
    """What is kept between translations. It decides nothing: an empty one gives the same results, later."""

    entries: dict[Hashable, _Entry] = field(default_factory=dict)
    turn: int = 0

    def next_turn(self) -> None:
        """Forget what was not asked for in the turn before."""
        for name in [name for name, entry in self.entries.items() if entry.used != self.turn]:
            del self.entries[name]
        self.turn += 1


class View:
    """`sources`: name → function of a key. The same value must come back as the same object."""

    __slots__ = ("_memo", "_reads", "sources")

    def __init__(self, sources: Mapping[str, Source], memo: Memo, reads: dict[_Read, Any] | None = None) -> None:
        self.sources = sources
        self._memo = memo
        self._reads = reads

    def read(self, source: str, key: Any) -> Any:
        value = self.sources[source](key)
        if self._reads is not None:
            self._reads[source, key] = value
        return value

    def get(self, resource: str, namespace: str, name: str) -> Obj | None:
        found: Obj | None = self.read(resource, Key(namespace, name))
        return found

    def once(self, name: Hashable, function: Callable[[View, *A], T], *args: *A) -> T:
        """`function(view, *args)`, kept under `name`."""
        entry = self._memo.entries.get(name)
        if entry is None or not self._holds(entry, args):
            reads: dict[_Read, Any] = {}
            value = function(View(self.sources, self._memo, reads), *args)
            entry = self._memo.entries[name] = _Entry(args, reads, value, self._memo.turn)
        entry.used = self._memo.turn
        if self._reads is not None:
            self._reads.update(entry.reads)
        result: T = entry.value
        return result

    def _holds(self, entry: _Entry, args: tuple[Any, ...]) -> bool:
        if len(entry.args) != len(args) or not all(map(same, entry.args, args)):
            return False
        sources = self.sources
        return all(sources[source](key) is value for (source, key), value in entry.reads.items())


def same(old: Any, new: Any) -> bool:
    """The same object, or one of which only the status changed (its generation tells). Texts and numbers: equal."""
    if old is new:
        return True
    if isinstance(new, dict):
        return isinstance(old, dict) and _generation(old) == _generation(new) is not None
    return isinstance(new, str | int) and bool(old == new)


def _generation(obj: Obj) -> tuple[Any, ...] | None:
    metadata = obj.get("metadata") or {}
    if "generation" not in metadata or "uid" not in metadata:
        return None
    return metadata["uid"], metadata["generation"], meta.deleting(obj)
