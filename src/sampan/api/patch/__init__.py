"""The patch types, one function for all: `apply`. (Server-side apply needs the owners: see `api.managedfields`.)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from sampan.api import meta, schema
from sampan.api.meta import Obj
from sampan.api.patch import json, merge, strategic
from sampan.api.patch.gofmt import go_value
from sampan.api.scheme import Resource
from sampan.api.status import bad_request, unsupported_media_type

JSON = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

# (definition, object one may change, parsed patch) -> patched object
_TYPES: dict[str, Callable[[str, Obj, Any], Any]] = {
    JSON: lambda definition, obj, patch: json.apply(obj, patch),
    MERGE: lambda definition, obj, patch: merge.apply(obj, patch),
    STRATEGIC: strategic.apply,
}


def apply(resource: Resource, original: Obj, body: bytes, content_type: str, mode: str) -> tuple[Obj, list[str]]:
    """The object after the patch in a request's body, decoded strictly (see schema.decode), and warnings.

    `original` is not changed. Raises ApiError: 400 a malformed patch, 415 an unknown type, 422 a patch that does not
    fit the object.
    """
    known = [kind for kind in _TYPES if kind != STRATEGIC or resource.schema is None]
    if content_type not in known:
        accepted = ", ".join((*known, APPLY))
        raise unsupported_media_type(
            f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        )
    try:
        patch = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"error decoding patch: {error}") from None
    try:
        result = _TYPES[content_type](resource.definition, meta.copy(original), patch)
        orjson.dumps(result)  # at most 254 levels: what cannot be stored is refused here
    except (orjson.JSONEncodeError, RecursionError):
        raise bad_request("error decoding patch: exceeded max depth") from None

    def shown() -> str:
        return go_value(patch) if content_type == STRATEGIC else orjson.dumps(result).decode()

    return result, schema.patched(resource, result, mode, shown)
