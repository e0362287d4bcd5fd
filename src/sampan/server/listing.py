"""Continue tokens and lists of the past.

A token says at which revision the first page was read and after which key the next one starts; later pages show the
world of that revision, rebuilt by undoing the store's history since then.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

import orjson

from sampan.api.status import ApiError, bad_request, gone
from sampan.base.errors import Compacted
from sampan.store.types import Record, Store

TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


def encode_token(revision: int, after: str) -> str:
    return urlsafe_b64encode(orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": after})).decode().rstrip("=")


def decode_token(token: str, prefix: str) -> tuple[int, str]:
    """(revision, key to continue after). Raises ApiError 400."""
    try:
        content = orjson.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        revision, after = int(content["rv"]), str(content["start"])
    except (Base64Error, ValueError, KeyError, TypeError):
        raise bad_request("continue key is not valid: illegal base64 data or unknown version") from None
    if not after.startswith(prefix):
        raise bad_request("continue key is not valid: it belongs to another list")
    return revision, after


def parse_revision(text: str) -> int:
    """A resourceVersion from a query. Raises ApiError 400."""
    if text.isascii() and text.isdigit():
        return int(text)
    raise bad_request(f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')


def too_large(revision: int, current: int) -> ApiError:
    """A resourceVersion from the future."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    return ApiError(504, "Timeout", f"Timeout: Too large resource version: {revision}, current: {current}", details)


def check_match(revision: str, match: str, token: str) -> None:
    """The combinations of resourceVersion, resourceVersionMatch and continue that mean something. Raises 400."""
    if match and token:
        raise bad_request("resourceVersionMatch is forbidden when continue is provided")
    if match and not revision:
        raise bad_request("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match not in ("", "Exact", "NotOlderThan"):
        raise bad_request(f'resourceVersionMatch: Unsupported value: "{match}"')
    if match == "Exact" and revision == "0":
        raise bad_request('resourceVersionMatch "Exact" is forbidden for resourceVersion "0"')
    if token and revision not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")


async def at_revision(store: Store, prefix: str, revision: int) -> list[Record]:
    """The records under `prefix` as they were at `revision`, by key. Raises ApiError 410."""
    if revision > store.revision:
        raise too_large(revision, store.revision)
    try:
        return await store.at(prefix, revision)
    except Compacted:
        raise gone(TOO_OLD) from None
