"""Continue tokens and lists of the past.

A token says at which revision the first page was read and after which key the next one starts; later pages show the
world of that revision, rebuilt by undoing the store's history since then.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

import orjson

from sampan.api import fields
from sampan.api.status import ApiError, FieldError, bad_request, gone, invalid
from sampan.base.errors import Compacted
from sampan.store.types import Record, Store

TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)

_MATCH = "resourceVersionMatch"
# The revision of a token that goes on with whatever is there now.
_PRESENT = -1


def encode_token(revision: int, after: str) -> str:
    return urlsafe_b64encode(orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": after})).decode().rstrip("=")


def decode_token(token: str, prefix: str) -> tuple[int, str]:
    """(revision, key to continue after); revision -1 is the present. Raises ApiError 400."""
    try:
        content = orjson.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        version, revision, after = content["v"], int(content["rv"]), str(content["start"])
    except (Base64Error, ValueError, KeyError, TypeError):
        raise _bad_token("continue key is not valid: it is none that a list of this server gave") from None
    if version != "meta.k8s.io/v1":
        raise _bad_token(f"continue key is not valid: server does not recognize this encoded version {version}")
    if not after.startswith(prefix):
        raise _bad_token(f"continue key is not valid: invalid key {after}")
    return revision, after


def _bad_token(why: str) -> ApiError:
    return bad_request(f"invalid continue token: {why}")


def parse_revision(text: str) -> int:
    """A resourceVersion from a query. Raises ApiError 400."""
    digits = text.isascii() and text.isdigit()
    if digits and len(text) < 20:
        return int(text)
    why = "value out of range" if digits else "invalid syntax"
    raise bad_request(f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": {why}')


def too_large(revision: int, current: int) -> ApiError:
    """A resourceVersion from the future."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    return ApiError(504, "Timeout", f"Timeout: Too large resource version: {revision}, current: {current}", details)


def check_options(revision: str, match: str, token: str, initial: bool | None = None) -> None:
    """The combinations of a list's query that mean something. Raises 422, and 400 for a continued one.

    Source: k8s.io/apimachinery/pkg/apis/meta/internalversion/validation.
    """
    found: list[FieldError] = []
    if match:
        if not revision:
            text = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            found.append(fields.forbidden(_MATCH, text))
        if token:
            found.append(fields.forbidden(_MATCH, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            found.append(fields.not_supported(_MATCH, match, ("Exact", "NotOlderThan", "")))
        if match == "Exact" and revision == "0":
            text = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            found.append(fields.forbidden(_MATCH, text))
    if initial is not None:
        found.append(fields.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    refuse(found)
    if token and revision not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")


def refuse(found: list[FieldError]) -> None:
    """Raises ApiError 422 when there is a fault in a list's or watch's options."""
    if found:
        raise invalid("meta.k8s.io", "ListOptions", "", found)


def expired(after: str) -> ApiError:
    """The 410 of a list whose revision is forgotten; `after`: where it may go on in the present, "" nowhere."""
    if not after:
        return gone("The resourceVersion for the provided list is too old.")
    error = gone(TOO_OLD)
    error.metadata = {"continue": encode_token(_PRESENT, after)}
    return error


async def at_revision(store: Store, prefix: str, revision: int, after: str = "") -> list[Record]:
    """The records under `prefix` as they were at `revision`, by key. `after`: see `expired`. Raises ApiError 410."""
    if revision > store.revision:
        raise too_large(revision, store.revision)
    try:
        return await store.at(prefix, revision)
    except Compacted:
        raise expired(after) from None
