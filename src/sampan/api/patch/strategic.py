"""Strategic merge patch: a merge patch that knows the merge keys of lists.

Source: https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
and k8s.io/apimachinery/pkg/util/strategicpatch (order of lists, error texts). Merge keys and strategies come from the
definitions' x-kubernetes-patch-merge-key and x-kubernetes-patch-strategy.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from sampan.api import definitions
from sampan.api.definitions import Definition
from sampan.api.meta import Obj
from sampan.api.patch.gofmt import go_value
from sampan.api.status import bad_request

_DIRECTIVE, _RETAIN = "$patch", "$retainKeys"
_DELETE_FROM, _ORDER = "$deleteFromPrimitiveList/", "$setElementOrder/"

_BAD_PRIMITIVES = "invalid patch format of primitive list"
_BAD_RETAIN = "invalid patch format of retainKeys"
_BAD_ORDER = "invalid patch format of setElementOrder list"


class _Field(NamedTuple):
    """How a field merges. `schema` is that of the value, or of a list's items; {} when there is none."""

    schema: Definition
    merges: bool
    key: str


def apply(definition: str, obj: Obj, patch: Any) -> Obj:
    """Merge `patch` into `obj`, which is changed, by the schema of a definition. Raises ApiError 400."""
    if not isinstance(patch, dict):
        raise bad_request("invalid JSON document")
    return _merge_map(obj, patch, definitions.load()[definition])


def _field(schema: Definition, key: str) -> _Field:
    found = schema.get("properties", {}).get(key) or schema.get("additionalProperties") or {}
    inner = found.get("items", found)
    name = definitions.ref(inner)
    strategies = found.get("x-kubernetes-patch-strategy", "").split(",")
    target = definitions.load()[name] if name else inner
    replaced = "replace" in strategies
    is_list = "items" in found
    return _Field(
        target, not replaced and ("merge" in strategies or not is_list), found.get("x-kubernetes-patch-merge-key", "")
    )


def _merge_map(original: Obj, patch: Obj, schema: Definition) -> Obj:
    match patch.get(_DIRECTIVE):
        case None:
            pass
        case "replace":
            return {k: v for k, v in patch.items() if k != _DIRECTIVE}
        case "delete":
            return {}
        case other:
            raise bad_request(f"unknown patch type: {other} in map: {go_value(patch)}")
    _retain(original, patch)
    ordered = {key.removeprefix(_ORDER): order for key, order in patch.items() if key.startswith(_ORDER)}
    live = {key: list(original.get(key) or ()) for key in ordered}
    for key, value in patch.items():
        if key == _RETAIN or key.startswith(_ORDER):
            continue
        if key.startswith(_DELETE_FROM):
            _delete_from(original, key.removeprefix(_DELETE_FROM), value)
        else:
            _merge_field(original, key, value, _field(schema, key), ordered.get(key))
    for key, order in ordered.items():
        _reorder(original, key, order, live[key], _field(schema, key).key)
    return original


def _merge_field(original: Obj, key: str, value: Any, field: _Field, order: Any) -> None:
    current = original.get(key)
    if value is None:
        original.pop(key, None)
    elif isinstance(value, dict) and isinstance(current, dict) and field.merges:
        original[key] = _merge_map(current, value, field.schema)
    elif isinstance(value, list) and isinstance(current, list) and field.merges:
        _check_order(value, order, field.key)
        original[key] = _merge_list(current, value, field)
    elif isinstance(value, dict) and value.get(_DIRECTIVE) and not isinstance(current, dict):
        original.pop(key, None)
    else:
        original[key] = _clean(value)


def _retain(original: Obj, patch: Obj) -> None:
    """`$retainKeys`: what it does not name goes; the patch may set only what it names."""
    if (names := patch.get(_RETAIN)) is None:
        return
    if not isinstance(names, list):
        raise bad_request(_BAD_RETAIN)
    for key, value in patch.items():
        if value is not None and not key.startswith("$") and key not in names:
            raise bad_request(_BAD_RETAIN)
    for key in [k for k in original if k not in names]:
        del original[key]


def _delete_from(original: Obj, key: str, values: Any) -> None:
    if not isinstance(values, list):
        raise bad_request(_BAD_PRIMITIVES)
    if isinstance(original.get(key), list):
        original[key] = [v for v in original[key] if v not in values]


def _merge_list(current: list[Any], patch: list[Any], field: _Field) -> list[Any]:
    live = list(current)
    if not any(isinstance(item, dict) for item in (*current, *patch)):
        return _in_order(list(dict.fromkeys([*current, *patch])), patch, live, "")
    if not field.key:
        raise bad_request("cannot merge lists without merge key")
    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" for item in patch):
        return [item for item in patch if _DIRECTIVE not in item]
    merged, changed = live[:], []
    for item in patch:
        name = _key_of(item, field.key)
        # Keys may repeat (a Service's port 53 for TCP and UDP): the first one is meant, the others stay.
        at = next((i for i, other in enumerate(merged) if _key_of(other, field.key) == name), None)
        directive = item.get(_DIRECTIVE)
        if directive == "delete":
            merged = [other for other in merged if _key_of(other, field.key) != name]
        elif directive is not None:
            raise bad_request(f"unknown patch type: {directive} in map: {go_value(item)}")
        else:
            changed.append(item)
            if at is None:
                merged.append(_clean(item))
            else:
                merged[at] = _merge_map(merged[at], item, field.schema)
    return _in_order(merged, changed, live, field.key)


def _key_of(item: Any, key: str) -> Any:
    if not isinstance(item, dict):
        raise bad_request(f"expected a map[string]interface {{}}, but received a {type(item).__name__}")
    if key not in item:
        raise bad_request(f"map: {go_value(item)} does not contain declared merge key: {key}")
    return item[key]


def _in_order(items: list[Any], wanted: list[Any], live: list[Any], key: str) -> list[Any]:
    """`items` with those in `wanted` by its order, and the others put among them by the live list's order."""

    def places(of: list[Any]) -> dict[Any, int]:
        return {name(item): i for i, item in reversed(list(enumerate(of)))}

    def name(item: Any) -> Any:
        return _key_of(item, key) if key else item

    asked, place = places(wanted), places(live)
    right = sorted((i for i in items if name(i) in asked), key=lambda i: asked[name(i)])
    left = deque(sorted((i for i in items if name(i) not in asked), key=lambda i: place.get(name(i), len(place))))
    result: list[Any] = []
    for item in right:
        while left and place.get(name(left[0]), len(place)) < place.get(name(item), -1):
            result.append(left.popleft())
        result.append(item)
    return [*result, *left]


def _reorder(original: Obj, key: str, order: Any, live: list[Any], merge_key: str) -> None:
    """`$setElementOrder`: the list's final order."""
    if not isinstance(order, list):
        raise bad_request(_BAD_ORDER)
    if isinstance(current := original.get(key), list):
        original[key] = _in_order(current, order, live, merge_key)


def _check_order(patch: list[Any], order: Any, key: str) -> None:
    """The patch's items must come in the order of `$setElementOrder`, and all be in it."""
    if not isinstance(order, list) or not order:
        return
    wanted = iter([_key_of(item, key) if key else item for item in order])
    for item in patch:
        if isinstance(item, dict) and _DIRECTIVE in item:
            continue
        if (_key_of(item, key) if key else item) not in wanted:
            shown = (
                f"The order in patch list:\n{go_value(patch)}\n doesn't match {_ORDER[:-1]} list:\n{go_value(order)}\n"
            )
            raise bad_request(shown)


def _clean(value: Any) -> Any:
    """A value that is taken as it is: without directives and nulls."""
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items() if v is not None and not k.startswith("$") and not _directive(v)}
    if isinstance(value, list):
        return [_clean(v) for v in value if not _directive(v)]
    return value


def _directive(value: Any) -> bool:
    return isinstance(value, dict) and _DIRECTIVE in value
