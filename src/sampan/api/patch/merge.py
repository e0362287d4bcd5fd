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
