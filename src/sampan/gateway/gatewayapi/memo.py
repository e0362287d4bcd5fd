"""Work that is done once: what was made of some objects is kept until one of those that it read is another.

A function gets a `View` to read through, and what it read is noted. When a source is given again with other objects,
what depends on these is forgotten, and only that; so the price of a change is what depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar, TypeVarTuple

from sampan.api import meta
from sampan.api.meta import Key, Obj

T = TypeVar("T")
A = TypeVarTuple("A")
_Read = tuple[str, Any]
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(slots=True)
class _Entry:
    args: tuple[Any, ...]
    reads: frozenset[_Read]
    value: Any
    used: int


@dataclass(slots=True)
class Memo:
    """What is kept between translations. It decides nothing: an empty one gives the same results, later."""

    sources: dict[str, Mapping[Any, Any]] = field(default_factory=dict)
    _entries: dict[Hashable, _Entry] = field(default_factory=dict)
    _readers: dict[_Read, set[Hashable]] = field(default_factory=dict)
    _turn: int = 0

    def next_turn(self) -> None:
        """Forget what was not asked for in the turn before."""
        for name in [name for name, entry in self._entries.items() if entry.used != self._turn]:
            self._forget(name)
        self._turn += 1

    def source(self, name: str, values: Mapping[Any, Any]) -> None:
        """What `name` holds in this turn. The same value must be the same object."""
        before = self.sources.get(name, _NOTHING)
        self.sources[name] = values
        if before is values:
            return
        changed = [key for key, value in values.items() if before.get(key) is not value]
        changed += [key for key in before if key not in values]
        for key in changed:
            for reader in list(self._readers.get((name, key), ())):
                self._forget(reader)

    def _forget(self, name: Hashable) -> None:
        entry = self._entries.pop(name)
        for read in entry.reads:
            self._readers[read].discard(name)
            if not self._readers[read]:
                del self._readers[read]

    def find(self, name: Hashable, args: tuple[Any, ...]) -> _Entry | None:
        entry = self._entries.get(name)
        if entry is None:
            return None
        if len(entry.args) != len(args) or not all(map(same, entry.args, args)):
            self._forget(name)
            return None
        entry.used = self._turn
        return entry

    def keep(self, name: Hashable, args: tuple[Any, ...], reads: set[_Read], value: Any) -> _Entry:
        entry = self._entries[name] = _Entry(args, frozenset(reads), value, self._turn)
        for read in entry.reads:
            self._readers.setdefault(read, set()).add(name)
        return entry


class View:
    """A look at the sources of a memo."""

    __slots__ = ("_memo", "_reads")

    def __init__(self, memo: Memo, reads: set[_Read] | None = None) -> None:
        self._memo = memo
        self._reads = reads

    def read(self, source: str, key: Any) -> Any:
        """None for a key that is not there."""
        if self._reads is not None:
            self._reads.add((source, key))
        return self._memo.sources[source].get(key)

    def get(self, resource: str, namespace: str, name: str) -> Obj | None:
        found: Obj | None = self.read(resource, Key(namespace, name))
        return found

    def all(self, index: str, key: Any) -> tuple[Obj, ...]:
        """The objects that an index has under a key."""
        found: tuple[Obj, ...] | None = self.read(index, key)
        return found or ()

    def once(self, name: Hashable, function: Callable[[View, *A], T], *args: *A) -> T:
        """`function(view, *args)`, kept under `name`."""
        entry = self._memo.find(name, args)
        if entry is None:
            reads: set[_Read] = set()
            value = function(View(self._memo, reads), *args)
            entry = self._memo.keep(name, args, reads, value)
        if self._reads is not None:
            self._reads |= entry.reads
        result: T = entry.value
        return result


def same(old: Any, new: Any) -> bool:
    """The same object, or one of which only the status changed (its generation tells). Plain values: equal."""
    if old is new:
        return True
    if isinstance(new, dict):
        return isinstance(old, dict) and _generation(old) == _generation(new) is not None
    return isinstance(new, str | int | tuple) and bool(old == new)


def _generation(obj: Obj) -> tuple[Any, ...] | None:
    metadata = obj.get("metadata") or {}
    if "generation" not in metadata or "uid" not in metadata:
        return None
    return metadata["uid"], metadata["generation"], meta.deleting(obj)
