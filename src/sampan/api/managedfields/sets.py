"""Sets of fields in the form fieldsV1 has: a trie of path elements. Pure; results share parts with their arguments.

An element is `f:NAME` (field or map key), `k:{…}` (list item by its keys) or `v:VALUE` (item of a set). `{}` below
the root says that the path itself is in the set; `"."` says so where deeper paths follow. At the root `{}` is empty.
Source: sigs.k8s.io/structured-merge-diff/v4/fieldpath.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

Fields = dict[str, Any]

# Shared by all sets: never changed.
LEAF: Fields = {}
SELF = "."


def member(node: Fields) -> bool:
    """Is the path of this node itself in the set?"""
    return not node or SELF in node


def with_self(node: Fields) -> Fields:
    """The node with its own path in the set too."""
    return node if member(node) else {SELF: LEAF, **node}


def union(a: Fields, b: Fields) -> Fields:
    if not a or not b:
        return a or b
    result = dict(a)
    for key, node in b.items():
        result[key] = _join(result[key], node) if key in result else node
    return result


def _join(a: Fields, b: Fields) -> Fields:
    if not a:
        return with_self(b)
    return union(a, b) if b else with_self(a)


def difference(a: Fields, b: Fields) -> Fields:
    """What is in `a` but not in `b`. `a` itself when nothing goes."""
    changed: Fields = {}
    for key, other in b.items():
        if (node := a.get(key)) is not None and (rest := _minus(node, other)) is not node:
            changed[key] = rest
    if not changed:
        return a
    return {key: left for key, node in a.items() if (left := changed.get(key, node)) is not None}


def _minus(a: Fields, b: Fields) -> Fields | None:
    if not a:
        return None if member(b) else a
    return _canonical(difference(a, b if b else {SELF: LEAF}))


def intersection(a: Fields, b: Fields) -> Fields:
    if len(b) < len(a):
        a, b = b, a
    return {
        key: both
        for key, node in a.items()
        if (other := b.get(key)) is not None and (both := _both(node, other)) is not None
    }


def _both(a: Fields, b: Fields) -> Fields | None:
    if not a or not b:
        return LEAF if member(a) and member(b) else None
    return _canonical(intersection(a, b))


def _canonical(node: Fields) -> Fields | None:
    if not node:
        return None
    return LEAF if len(node) == 1 and SELF in node else node


def paths(fields: Fields) -> Iterator[str]:
    """The paths of the set as kubectl shows them: `.spec.containers[name="web"].image`."""
    for key, node in sorted(fields.items()):
        if key == SELF:
            continue
        shown = _element(key)
        if member(node):
            yield shown
        for path in paths(node):
            yield shown + path


def _element(key: str) -> str:
    kind, _, text = key.partition(":")
    match kind:
        case "f":
            return f".{text}"
        case "k":
            pairs = (f"{name}={orjson.dumps(value).decode()}" for name, value in orjson.loads(text).items())
            return f"[{','.join(pairs)}]"
        case "v":
            return f"[={text}]"
        case _:
            return f"[{text}]"
