"""A structural schema, compiled as far as objects reach into it: pruning, defaulting, and what validation reads.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

Schema = Mapping[str, Any]

# What every object (and every embedded one) has, whatever its schema says.
IMPLICIT = frozenset({"apiVersion", "kind", "metadata"})


class Node:
    """One schema. Children are made when a value first needs them."""

    __slots__ = ("__dict__", "_children", "schema")

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._children: dict[str, Node | None] = {}

    @cached_property
    def preserves(self) -> bool:
        """Are unknown fields kept here?"""
        return bool(self.schema.get("x-kubernetes-preserve-unknown-fields"))

    @cached_property
    def nullable(self) -> bool:
        return bool(self.schema.get("nullable"))

    @cached_property
    def names(self) -> Mapping[str, Schema]:
        return self.schema.get("properties") or {}

    @cached_property
    def items(self) -> Node | None:
        inner = self.schema.get("items")
        return Node(inner) if isinstance(inner, Mapping) else None

    @cached_property
    def others(self) -> Node | None:
        """The schema of keys that `properties` does not name."""
        inner = self.schema.get("additionalProperties")
        return Node(inner) if isinstance(inner, Mapping) else None

    @cached_property
    def open(self) -> bool:
        """additionalProperties: true: any key, any value."""
        return self.schema.get("additionalProperties") is True

    @cached_property
    def defaults(self) -> list[tuple[str, Any]]:
        return [(name, inner["default"]) for name, inner in self.names.items() if inner.get("default") is not None]

    @cached_property
    def logic(self) -> bool:
        """Is there an allOf, anyOf, oneOf or not?"""
        return any(self.schema.get(word) is not None for word in ("allOf", "anyOf", "oneOf", "not"))

    def child(self, name: str) -> Node | None:
        """The schema of a field, None when nothing is said about it."""
        try:
            return self._children[name]
        except KeyError:
            schema = self.names.get(name)
            found = self._children[name] = self.others if schema is None else Node(schema)
            return found

    def map_keys(self) -> list[str] | None:
        """The keys that tell the elements of a list apart, None for other lists."""
        if self.schema.get("x-kubernetes-list-type") != "map":
            return None
        return list(self.schema.get("x-kubernetes-list-map-keys") or ())


def prune(node: Node, value: Any, root: bool = True) -> list[str]:
    """Remove unknown fields in place; returns their paths ("spec.a", "spec.list[0].b")."""
    return sorted(_prune(node, value, "", root))


def _prune(node: Node, value: Any, path: str, implicit: bool) -> Iterator[str]:
    if isinstance(value, dict):
        if node.open:
            return
        for key in list(value):
            if implicit and key in IMPLICIT:
                continue
            at = f"{path}.{key}" if path else key
            child = node.child(key)
            if child is not None:
                if value[key].__class__ in (dict, list):
                    yield from _prune(child, value[key], at, bool(child.schema.get("x-kubernetes-embedded-resource")))
            elif not node.preserves:
                del value[key]
                yield at
    elif isinstance(value, list) and node.items is not None:
        embedded = bool(node.items.schema.get("x-kubernetes-embedded-resource"))
        for i, inner in enumerate(value):
            yield from _prune(node.items, inner, f"{path}[{i}]", embedded)


def default(node: Node, value: Any) -> None:
    """Fill in defaults in place; a null where none may be counts as missing."""
    if isinstance(value, dict):
        for name, missing in node.defaults:
            if name not in value or (value[name] is None and not _nullable(node, name)):
                value[name] = fresh(missing)
        for name in list(value):
            inner = value[name]
            if inner.__class__ in (dict, list):
                if (child := node.child(name)) is not None:
                    default(child, inner)
            elif inner is None and (child := node.child(name)) is not None and not child.nullable:
                del value[name]
    elif isinstance(value, list) and node.items is not None:
        for inner in value:
            default(node.items, inner)


def _nullable(node: Node, name: str) -> bool:
    child = node.child(name)
    return child is not None and child.nullable


def fresh(value: Any) -> Any:
    """A copy of a JSON value."""
    if isinstance(value, dict):
        return {key: fresh(inner) for key, inner in value.items()}
    return [fresh(inner) for inner in value] if isinstance(value, list) else value


def without_texts(schema: Any) -> Any:
    """A schema without its descriptions, which are most of it and only documents need; changed in place."""
    stack = [schema]
    while stack:
        found = stack.pop()
        found.pop("description", None)
        for key in ("items", "additionalProperties", "not"):
            if isinstance(found.get(key), dict):
                stack.append(found[key])
        stack.extend((found.get("properties") or {}).values())
        for key in ("allOf", "anyOf", "oneOf"):
            stack.extend(found.get(key) or ())
    return schema
