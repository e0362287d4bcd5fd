"""Answers that the proxy gives by itself: in its own words, or in those of the listener's configuration."""

from __future__ import annotations

import json
import re

from sampan.xds.messages import METADATA, Message
from sampan.xds.simulate.headers import Headers, filled
from sampan.xds.simulate.messages import unpacked

_DETAILS = re.compile(r"response\.code_details == (?P<text>\".*\")")


def reply(
    manager: Message, status: int, body: str, *, flag: str = "", details: str = "", service: str = ""
) -> tuple[int, str]:
    """(status, body) as the client sees them. `flag`: Envoy's response flag (NR, UH, …)."""
    known = {f"CLUSTER_METADATA({METADATA}:service)": service, "RESPONSE_FLAGS": flag, "LOCAL_REPLY_BODY": body}
    for mapper in manager.local_reply_config.mappers:
        if _fits(mapper.filter, flag, details):
            status = mapper.status_code.value if mapper.HasField("status_code") else status
            text = mapper.body_format_override.text_format_source.inline_string
            if mapper.HasField("body_format_override"):
                body = filled(text, Headers(), {**known, "RESPONSE_CODE": str(status)})
            break
    return status, body


def _fits(wanted: Message, flag: str, details: str) -> bool:
    kind = wanted.WhichOneof("filter_specifier")
    if kind == "response_flag_filter":
        return flag in wanted.response_flag_filter.flags
    if kind == "extension_filter":
        expression = unpacked(wanted.extension_filter.typed_config)
        found = _DETAILS.fullmatch(expression.expression) if expression is not None else None
        return bool(found and json.loads(found["text"]) == details)
    return False
