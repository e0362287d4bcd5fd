"""How values of a schema own, differ, merge and lose fields: one class for each structure a field can have.

Values are JSON; a value that does not have the structure its schema says is treated as one indivisible whole.
Source: sigs.k8s.io/structured-merge-diff/v4/typed (merge.go, tofieldset.go, remove.go).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import orjson

from sampan.api.managedfields.sets import LEAF, SELF, Fields, member, with_self

# Key fields that items may leave out because the API defaults them.
_KEY_DEFAULTS = {"protocol": "TCP"}


class Difference(NamedTuple):
    """What came or became another, and what went; a node each, None for nothing."""

    changed: Fields | None
    removed: Fields | None


SAME = Difference(None, None)
CHANGED = Difference(LEAF, None)


class Type(Protocol):
    """A structure. `fields` and `diff` give nodes to put under the value's own path element."""

    def fields(self, value: Any, added: bool) -> Fields | None:
        """The paths of a value. `added`: as a value that is new, whose containers are fields themselves."""
        ...

    def diff(self, old: Any, new: Any) -> Difference: ...

    def merge(self, old: Any, new: Any) -> Any:
        """`old` with what `new` says. Neither is changed; the result shares parts with both."""
        ...

    def remove(self, value: Any, gone: Fields) -> Any:
        """The value without these paths, None when nothing is left of it."""
        ...

    def ensure(self, fields: Fields) -> Fields:
        """The set with the struct fields on the way to its paths, which a set of an object leaves out."""
        ...


class Leaf:
    """A scalar, or an atomic list, map or struct: owned as a whole."""

    def fields(self, value: Any, added: bool) -> Fields | None:
        return LEAF

    def diff(self, old: Any, new: Any) -> Difference:
        return SAME if old == new else CHANGED

    def merge(self, old: Any, new: Any) -> Any:
        return new

    def remove(self, value: Any, gone: Fields) -> Any:
        return value

    def ensure(self, fields: Fields) -> Fields:
        return fields


class Field(NamedTuple):
    """A field of a struct. `path` is its element; `always`: Go writes it even when it is empty, so it is never new."""

    path: str
    type: Type
    always: bool = False


class Struct:
    """Named fields. `load` gives them when first needed (schemas are recursive), None for those nobody can own; `rest`
    is the type of all others, None when there are none."""

    def __init__(self, load: Callable[[], Mapping[str, Field | None]], rest: Type | None = None) -> None:
        self._load = load
        self._rest = rest
        self._known: dict[str, Field | None] | None = None

    def _field(self, key: str) -> Field | None:
        if self._known is None:
            self._known = dict(self._load())
        try:
            return self._known[key]
        except KeyError:
            return Field(f"f:{key}", self._rest) if self._rest is not None else None

    def fields(self, value: Any, added: bool) -> Fields | None:
        if value.__class__ is not dict:
            return LEAF
        found: Fields = {}
        known = self._known if self._known is not None and self._rest is None else None
        for key, inner in value.items():
            # The body of `_field` for known structs: this loop sees every field that is ever written.
            if (field := known.get(key) if known is not None else self._field(key)) is None:
                continue
            path, kind, always = field
            if kind is LEAF_TYPE:
                found[path] = LEAF
            elif (node := kind.fields(inner, added)) is not None:
                found[path] = with_self(node) if added and not always else node
        return found or (None if value else LEAF)

    def diff(self, old: Any, new: Any) -> Difference:
        if old == new:
            return SAME
        if old.__class__ is not dict or new.__class__ is not dict:
            return CHANGED
        changed: Fields = {}
        removed: Fields = {}
        for key, value in new.items():
            if key in old and (before := old[key]) == value:
                continue
            if (field := self._field(key)) is None:
                continue
            path, kind, always = field
            if key in old:
                found = kind.diff(before, value)
                if found.changed is not None:
                    changed[path] = found.changed
                if found.removed is not None:
                    removed[path] = found.removed
            elif (node := kind.fields(value, True)) is not None:
                changed[path] = node if always else with_self(node)
        for key in old.keys() - new.keys():
            if (field := self._field(key)) is not None and (node := field.type.fields(old[key], True)) is not None:
                removed[field.path] = with_self(node)
        return Difference(changed or None, removed or None)

    def merge(self, old: Any, new: Any) -> Any:
        if old.__class__ is not dict or new.__class__ is not dict:
            return new
        result = dict(old)
        for key, value in new.items():
            field = self._field(key) if key in old else None
            result[key] = value if field is None else field.type.merge(old[key], value)
        return result

    def remove(self, value: Any, gone: Fields) -> Any:
        if value.__class__ is not dict:
            return value
        result = {}
        for key, inner in value.items():
            field = self._field(key)
            node = gone.get(field.path) if field is not None else None
            if node is None or field is None:
                result[key] = inner
            elif not member(node) and (left := field.type.remove(inner, node)) is not None:
                result[key] = left
        return result or None

    def ensure(self, fields: Fields) -> Fields:
        result: Fields = {}
        for path, node in fields.items():
            field = self._field(path[2:]) if node else None
            if field is not None:
                node = field.type.ensure(node)
                if field.type is not self._rest:
                    node = with_self(node)
            result[path] = node
        return result


class Map:
    """Any keys, values of one type."""

    def __init__(self, element: Type) -> None:
        self._element = element

    def fields(self, value: Any, added: bool) -> Fields | None:
        if value.__class__ is not dict:
            return LEAF
        kind = self._element
        if kind is LEAF_TYPE:
            return {f"f:{key}": LEAF for key in value}
        return {f"f:{key}": with_self(kind.fields(inner, added) or LEAF) for key, inner in value.items()}

    def diff(self, old: Any, new: Any) -> Difference:
        if old == new:
            return SAME
        if old.__class__ is not dict or new.__class__ is not dict:
            return CHANGED
        return _by_key(self._element, _named(old), _named(new))

    def merge(self, old: Any, new: Any) -> Any:
        if old.__class__ is not dict or new.__class__ is not dict:
            return new
        merge = self._element.merge
        return {**old, **{key: merge(old[key], value) if key in old else value for key, value in new.items()}}

    def remove(self, value: Any, gone: Fields) -> Any:
        if value.__class__ is not dict:
            return value
        result = {}
        for key, inner in value.items():
            left = _without(self._element, inner, gone.get(f"f:{key}"))
            if left is not None:
                result[key] = left
        return result or None

    def ensure(self, fields: Fields) -> Fields:
        return {path: self._element.ensure(node) if node else node for path, node in fields.items()}


class Keyed:
    """A list whose items are told apart: by key fields (list-type map) or by themselves (set, no keys)."""

    def __init__(self, element: Type, keys: tuple[str, ...]) -> None:
        self._element = element
        self._keys = tuple(sorted(keys))
        self._only = keys[0] if len(keys) == 1 else None

    def _path(self, item: Any) -> str:
        if not self._keys:
            return f"v:{orjson.dumps(item).decode()}"
        if item.__class__ is not dict:
            return f"v:{orjson.dumps(item, option=orjson.OPT_SORT_KEYS).decode()}"
        if self._only is not None and (name := item.get(self._only)).__class__ is str:
            return f'k:{{"{self._only}":{orjson.dumps(name).decode()}}}'
        found = {key: item.get(key, _KEY_DEFAULTS.get(key)) for key in self._keys}
        return f"k:{orjson.dumps(found).decode()}"

    def _index(self, items: list[Any]) -> dict[str, Any]:
        return {self._path(item): item for item in items}

    def fields(self, value: Any, added: bool) -> Fields | None:
        if value.__class__ is not list:
            return LEAF
        if not value:
            return LEAF if added else None
        return {self._path(item): with_self(self._element.fields(item, added) or LEAF) for item in value}

    def diff(self, old: Any, new: Any) -> Difference:
        if old == new:
            return SAME
        if old.__class__ is not list or new.__class__ is not list:
            return CHANGED
        return _by_key(self._element, self._index(old), self._index(new))

    def merge(self, old: Any, new: Any) -> Any:
        """Shared items in the order of `new`; those only `old` has stay before what they stood before."""
        if old.__class__ is not list or new.__class__ is not list:
            return new
        before, wanted = self._index(old), self._index(new)
        left = deque((self._path(item), item) for item in old)
        shared = deque(path for path in wanted if path in before)
        result: list[Any] = []
        for path, item in wanted.items():
            while left and left[0][0] != (shared[0] if shared else None):
                other, kept = left.popleft()
                if other not in wanted:
                    result.append(kept)
            if path in before:
                shared.popleft()
                result.append(self._element.merge(before[path], item))
            else:
                result.append(item)
        return result + [item for path, item in left if path not in wanted]

    def remove(self, value: Any, gone: Fields) -> Any:
        if value.__class__ is not list:
            return value
        kept = (_without(self._element, item, gone.get(self._path(item))) for item in value)
        return [item for item in kept if item is not None] or None

    def ensure(self, fields: Fields) -> Fields:
        return {path: self._element.ensure(node) if node else node for path, node in fields.items()}


class Deduced:
    """No schema: what looks like a map is one, everything else is a whole."""

    def _of(self, value: Any) -> Type:
        return _FREE_MAP if value.__class__ is dict else LEAF_TYPE

    def fields(self, value: Any, added: bool) -> Fields | None:
        return self._of(value).fields(value, added)

    def diff(self, old: Any, new: Any) -> Difference:
        return self._of(new).diff(old, new)

    def merge(self, old: Any, new: Any) -> Any:
        return self._of(new).merge(old, new)

    def remove(self, value: Any, gone: Fields) -> Any:
        return self._of(value).remove(value, gone)

    def ensure(self, fields: Fields) -> Fields:
        return fields


LEAF_TYPE = Leaf()
DEDUCED = Deduced()
_FREE_MAP = Map(DEDUCED)


def _named(value: dict[str, Any]) -> dict[str, Any]:
    return {f"f:{key}": inner for key, inner in value.items()}


def _by_key(kind: Type, old: dict[str, Any], new: dict[str, Any]) -> Difference:
    """The difference of two containers, their items by path element."""
    changed: Fields = {}
    removed: Fields = {}
    for path, value in new.items():
        if path not in old:
            changed[path] = with_self(kind.fields(value, True) or LEAF)
        elif old[path] != value:
            found = kind.diff(old[path], value)
            if found.changed is not None:
                changed[path] = found.changed
            if found.removed is not None:
                removed[path] = found.removed
    for path in old.keys() - new.keys():
        removed[path] = with_self(kind.fields(old[path], True) or LEAF)
    return Difference(changed or None, removed or None)


def _without(kind: Type, value: Any, node: Fields | None) -> Any:
    if node is None:
        return value
    return None if not node or SELF in node else kind.remove(value, node)
