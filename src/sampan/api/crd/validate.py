"""Validation of a custom object against its schema: values first, then the CEL rules.

Unchanged values are not judged again on update, so that a stricter schema does not lock old objects in (ratcheting).
Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource/{validator,strategy}.go (1.32)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sampan.api import fields
from sampan.api.crd import checks, rules
from sampan.api.crd.node import IMPLICIT, Node, Schema
from sampan.api.meta import Obj
from sampan.api.status import FieldError

# There is no old value to compare with.
MISSING: Any = object()
# With these among the faults the rules are not run: they could only stumble over the same.
_BLOCKING = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


def validate(node: Node, obj: Obj, old: Obj | None = None) -> list[FieldError]:
    """All faults of an object; `old` is what it replaces."""
    before = MISSING if old is None else old
    found = list(_values(node, obj, before, "", root=True))
    if not rules.present(node):
        return found
    if any(error.type in _BLOCKING for error in found):
        return [*found, fields.invalid("<nil>", None, _UNCHECKED)]
    return [*found, *_rules(node, obj, before, "")]


def _values(node: Node, value: Any, old: Any, path: str, root: bool = False) -> Iterator[FieldError]:
    if old is not MISSING and value == old:
        return
    schema = node.schema
    if value is None and node.nullable:
        return
    if schema.get("x-kubernetes-int-or-string"):
        if checks.json_type(value) not in ("integer", "string"):
            yield checks.wrong_type(path, value, "integer,string")
            return
    elif (wanted := schema.get("type")) and not checks.has_type(value, wanted):
        yield checks.wrong_type(path, value, wanted)
        return
    yield from checks.of_any(schema, value, path)
    if node.logic:
        yield from _logic(schema, value, path)
    if isinstance(value, dict):
        yield from checks.of_object(schema, value, path)
        for name, inner in value.items():
            if root and name in IMPLICIT:
                continue
            if (child := node.child(name)) is not None:
                yield from _values(child, inner, _field(old, name), f"{path}.{name}" if path else name)
        if root and (limits := node.child("metadata")) is not None:
            yield from _metadata(limits, value)
    elif isinstance(value, list):
        yield from checks.of_array(schema, value, path)
        if node.items is not None:
            previous = _elements(node, old)
            for i, inner in enumerate(value):
                yield from _values(node.items, inner, previous(inner), f"{path}[{i}]")
    elif isinstance(value, str):
        yield from checks.of_string(schema, value, path)
    elif checks.json_type(value) in ("integer", "number"):
        yield from checks.of_number(schema, value, path)


def _metadata(node: Node, obj: Obj) -> Iterator[FieldError]:
    """A schema may restrict an object's name."""
    for name in ("name", "generateName"):
        child = node.child(name) if name in node.names else None
        value = obj["metadata"].get(name)
        if child is not None and value:
            yield from _values(child, value, MISSING, f"metadata.{name}")


def _logic(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    """allOf, anyOf, oneOf, not."""
    name = fields.quote(path)
    at = path or "<nil>"
    for inner in schema.get("allOf") or ():
        yield from _values(Node(inner), value, MISSING, path)
    if (options := schema.get("anyOf")) and not any(_fits(inner, value) for inner in options):
        yield fields.invalid(at, checks.shown(value), f"{name} must validate at least one schema (anyOf)")
    if options := schema.get("oneOf"):
        fitting = sum(_fits(inner, value) for inner in options)
        if fitting != 1:
            why = "Found none valid" if not fitting else f"Found {fitting} valid alternatives"
            text = f"{name} must validate one and only one schema (oneOf). {why}"
            yield fields.invalid(at, checks.shown(value), text)
    if (inner := schema.get("not")) is not None and _fits(inner, value):
        yield fields.invalid(at, checks.shown(value), f"{name} must not validate the schema (not)")


def _fits(schema: Schema, value: Any) -> bool:
    return next(_values(Node(schema), value, MISSING, ""), None) is None


def _rules(node: Node, value: Any, old: Any, path: str) -> Iterator[FieldError]:
    if not rules.present(node) or (value is None and node.nullable):
        return
    yield from rules.check(node, value, None if old is MISSING else old, old is not MISSING, path)
    children: Iterable[tuple[str, Node | None, Any, Any]] = ()
    if isinstance(value, dict):
        children = (
            (f"{path}.{name}" if path else name, node.child(name), inner, _field(old, name))
            for name, inner in value.items()
        )
    elif isinstance(value, list):
        previous = _elements(node, old)
        children = ((f"{path}[{i}]", node.items, inner, previous(inner)) for i, inner in enumerate(value))
    for at, child, inner, before in children:
        if child is not None:
            yield from _rules(child, inner, before, at)


def _field(old: Any, name: str) -> Any:
    return old.get(name, MISSING) if isinstance(old, dict) else MISSING


def _elements(node: Node, old: Any) -> Any:
    """Finds the old element that a new one replaces: only elements of map lists have an identity."""
    keys = node.map_keys()
    if not keys or not isinstance(old, list):
        return lambda item: MISSING
    known = {_identity(item, keys): item for item in old if isinstance(item, dict)}
    return lambda item: known.get(_identity(item, keys), MISSING) if isinstance(item, dict) else MISSING


def _identity(item: Obj, keys: list[str]) -> tuple[str, ...]:
    return tuple(repr(item.get(key)) for key in keys)
