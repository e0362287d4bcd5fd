"""YAML bodies as JSON. A few hundred bytes of YAML can mean billions of values, or crash the parser: both are refused.

Heavy to import: only the few clients that send YAML pay for it.
"""

from __future__ import annotations

from typing import Any

import orjson
import yaml

from sampan.api.status import bad_request

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Below what orjson writes (254); libyaml's own composer recurses without any bound.
_DEPTH = 200
_VALUES = 1_000_000


def to_json(body: bytes) -> bytes:
    """The one document in `body` as JSON text. Raises ApiError 400."""
    try:
        aliases = _check(body)
        found = yaml.load(body, Loader=_LOADER)
        if aliases and _size(found, {}) > _VALUES:
            raise bad_request("error converting YAML to JSON: yaml: document contains excessive aliasing")
        return orjson.dumps(found, option=orjson.OPT_NON_STR_KEYS)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, OverflowError) as error:
        text = " ".join(str(error).split())
        raise bad_request(f"error converting YAML to JSON: yaml: {text}") from None


def _check(body: bytes) -> bool:
    """Has it aliases? Raises ApiError 400 for one that is too deep."""
    depth, aliases = 0, False
    for event in yaml.parse(body, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEPTH:
                raise bad_request("error converting YAML to JSON: yaml: exceeded max depth")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases = True
    return aliases


def _size(value: Any, known: dict[int, int]) -> int:
    """How many values it has when every alias is written out."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = _VALUES + 1  # while inside of it: one that contains itself has no end
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(value)]
