"""Decoding objects as kube-apiserver does, with its texts: types, unknown fields, duplicate fields.

Sources: k8s.io/apimachinery/pkg/runtime/serializer/json and pkg/runtime/strict.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from sampan.api import fields
from sampan.api.meta import Obj
from sampan.api.scalars import json_type
from sampan.api.scheme import Resource
from sampan.api.status import ApiError, bad_request, invalid
from sampan.api.walkers import walk

# As in sigs.k8s.io/json: who sends a thousand wrong fields hears of the first ones.
_MOST_FAULTS = 100


def decode(resource: Resource, body: bytes, mode: str) -> tuple[Obj, list[str]]:
    """An object from a request's JSON, and warnings.

    `mode` is the request's fieldValidation: Strict refuses unknown and duplicate fields, Warn (and "") names them in
    the warnings, Ignore drops them silently. Raises ApiError 400 with kube-apiserver's text.
    """
    obj = parse(body)
    try:
        compact = orjson.dumps(obj)
        repeated = () if mode == "Ignore" else duplicates(body, compact)
        faults = [f"duplicate field {fields.quote(path)}" for path in repeated]
        faults += [f"unknown field {fields.quote(path)}" for path in clean(resource, obj)]
    except ValueError as error:
        raise _unhandled(resource, str(error)) from None
    except (orjson.JSONEncodeError, RecursionError):
        # orjson writes at most 254 levels; what cannot be stored is refused here.
        raise _unhandled(resource, "exceeded max depth") from None
    del faults[_MOST_FAULTS:]
    if mode == "Strict" and faults:
        raise _unhandled(resource, strict_text(faults))
    return obj, [] if mode == "Ignore" else faults


def patched(resource: Resource, obj: Obj, mode: str, shown: Callable[[], str]) -> list[str]:
    """Check and clean the result of a patch, in place; returns warnings.

    `shown` gives the patch as the error quotes it. Raises ApiError 422 as kube-apiserver does for patches.
    """
    try:
        faults = [f"unknown field {fields.quote(path)}" for path in clean(resource, obj)]
    except ValueError as error:
        raise invalid("", "", "", [fields.invalid("patch", shown(), str(error))]) from None
    if mode == "Strict" and faults:
        raise invalid("", "", "", [fields.invalid("patch", shown(), strict_text(faults))])
    return [] if mode == "Ignore" else faults


def clean(resource: Resource, obj: Obj) -> list[str]:
    """Check and clean a decoded object in place: the paths of its unknown fields. Raises ValueError for wrong types."""
    return resource.clean(obj) if resource.clean is not None else walk(resource.definition, obj)


def strict_text(faults: list[str]) -> str:
    return f"strict decoding error: {', '.join(faults)}"


def parse(body: bytes) -> Obj:
    """The JSON object in a body. Raises ApiError 400."""
    try:
        obj = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from None
    if not isinstance(obj, dict):
        text = f"json: cannot unmarshal {json_type(obj)} into Go value of type struct"
        raise bad_request(f"couldn't get version/kind; json parse error: {text}")
    return obj


def _unhandled(resource: Resource, why: str) -> ApiError:
    kind = resource.kind
    return bad_request(f"{kind} in version {fields.quote(resource.version)} cannot be handled as a {kind}: {why}")


class _Repeated(dict[str, Any]):
    """A JSON object in which keys came more than once."""

    again: list[str]


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    marked = _Repeated(found)
    counts = Counter(key for key, _ in pairs)
    marked.again = [key for key, count in counts.items() if count > 1]
    return marked


def duplicates(body: bytes, compact: bytes) -> Iterable[str]:
    """Paths of keys that came more than once in one object of `body`; `compact` is `body` parsed and encoded again.

    orjson keeps the last one silently. What encodes back to the same bytes had none (clients in Go send compact JSON);
    otherwise the standard library parses again and looks at all pairs.
    """
    if compact == body.strip():
        return ()
    return _find_repeated(json.loads(body, object_pairs_hook=_pairs), "")


def _find_repeated(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        if isinstance(value, _Repeated):
            yield from (prefix + key for key in value.again)
        for key, inner in value.items():
            if inner.__class__ not in (str, int, bool):
                yield from _find_repeated(inner, prefix + key)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _find_repeated(inner, f"{path}[{i}]")
