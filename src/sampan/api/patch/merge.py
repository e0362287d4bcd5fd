"""JSON Merge Patch (RFC 7386)."""

from __future__ import annotations

from typing import Any

from sampan.api.meta import Obj
from sampan.api.status import bad_request


def apply(obj: Obj, patch: Any) -> Obj:
    """Merge `patch` into `obj`, which is changed. Raises ApiError 400 when the patch is not an object."""
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: a merge patch must be a JSON object")
    return _merge(obj, patch)


def difference(old: Obj, new: Obj) -> Obj:
    """The patch that makes `new` of `old`, {} when they are equal. Neither may hold null: a patch cannot say that."""
    patch: Obj = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            if inner := difference(before, value):
                patch[key] = inner
        elif before != value:
            patch[key] = value
    return patch


def _merge(target: Any, patch: Obj) -> Obj:
    result: Obj = target if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merge(result.get(key), value)
        else:
            result[key] = value
    return result
