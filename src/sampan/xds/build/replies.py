"""Answers that Envoy gives by itself, in words for the person who sees them.

Texts are filled in by Envoy when it answers (which Service: metadata of the cluster), so endpoints that come and go
change no listener.
"""

from __future__ import annotations

import json

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, substitution_format_string_pb2
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from sampan import ir
from sampan.xds.filters import misdirected
from sampan.xds.messages import METADATA, Message, typed, uint32

_SERVICE = f"Service %CLUSTER_METADATA({METADATA}:service)%"

# Envoy's response flags (%RESPONSE_FLAGS%) → the body.
_TEXTS = {
    "UH": f"no endpoints: {_SERVICE} has no ready endpoints\n",
    "UF": f"no connection: {_SERVICE} refused it or did not answer\n",
    "UO": f"too many requests: {_SERVICE} has as many as it may have at once\n",
    "UT": f"timeout: {_SERVICE} did not answer in time\n",
}


def local_replies(http: ir.Http, not_found: ir.Respond) -> Message:
    """The first mapper that fits is taken."""
    made = http_connection_manager_pb2.LocalReplyConfig()
    if http.misdirected:
        made.mappers.append(_mapper(_details(misdirected.DETAILS), "421 Misdirected Request\n", status=421))
    made.mappers.append(_mapper(_flag("NR"), _literal(not_found.body), not_found.content_type, not_found.status))
    made.mappers.extend(_mapper(_flag(flag), text) for flag, text in _TEXTS.items())
    return made


def _mapper(when: Message, text: str, content_type: str = "text/plain", status: int = 0) -> Message:
    source = base_pb2.DataSource(inline_string=text)
    made = http_connection_manager_pb2.ResponseMapper(filter=when)
    made.body_format_override.CopyFrom(
        substitution_format_string_pb2.SubstitutionFormatString(text_format_source=source, content_type=content_type)
    )
    if status:
        made.status_code.CopyFrom(uint32(status))
    return made


def _flag(flag: str) -> Message:
    return accesslog_pb2.AccessLogFilter(response_flag_filter=accesslog_pb2.ResponseFlagFilter(flags=[flag]))


def _details(details: str) -> Message:
    """Only CEL sees why a reply was given."""
    expression = cel_pb2.ExpressionFilter(expression=f"response.code_details == {json.dumps(details)}")
    made = accesslog_pb2.ExtensionFilter(
        name="envoy.access_loggers.extension_filters.cel", typed_config=typed(expression)
    )
    return accesslog_pb2.AccessLogFilter(extension_filter=made)


def _literal(text: str) -> str:
    return text.replace("%", "%%")
