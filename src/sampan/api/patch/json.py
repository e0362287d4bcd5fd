"""JSON Patch (RFC 6902)."""

from __future__ import annotations

import re
from typing import Any

import jsonpatch

from sampan.api.meta import Obj
from sampan.api.status import ApiError, bad_request, too_large

MAX_OPERATIONS = 10000
_REFUSED = "the server rejected our request due to an error in our request"


def apply(obj: Obj, patch: Any) -> Any:
    """Apply the operations to `obj`, which may be changed. Raises ApiError 400, 413 or 422."""
    if not isinstance(patch, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(patch) > MAX_OPERATIONS:
        raise too_large(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}",
        )
    try:
        return jsonpatch.JsonPatch(patch).apply(obj, in_place=True)
    except jsonpatch.InvalidJsonPatch as error:
        raise bad_request(f"error decoding patch: {error}") from None
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
        # kube-apiserver says no more than the first half; people need the second.
        raise ApiError(422, "Invalid", f"{_REFUSED}: {_why(error)}") from None


def _why(error: Exception) -> str:
    """The library's reason without its Python types and without the object, which may be large or secret."""
    text = re.sub(r" \(<class '\w+'>\)", "", str(error))
    return re.sub(r"(not found) in .*", r"\1", text, flags=re.DOTALL)
