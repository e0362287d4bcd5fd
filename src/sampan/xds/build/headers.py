"""Header changes. Their values may hold Envoy's `%…%` commands; a literal % is written %%.

These are what translators may rely on, checked against the real Envoy in the tests:

    %REQ(NAME)%  %REQ(NAME?OTHER)%          a header of the request; ":path" (with the query), ":authority", ":method"
    %RESP(NAME)%                            a response header (only in changes of responses)
    %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%  the client's address, X-Forwarded-For of trusted hops considered
    %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%  the peer of the connection
    %DOWNSTREAM_LOCAL_ADDRESS%  %DOWNSTREAM_LOCAL_PORT%  where it came in
    %PROTOCOL%  %RESPONSE_CODE%  %START_TIME%  %HOSTNAME%
    %DOWNSTREAM_TLS_VERSION%  %REQUESTED_SERVER_NAME%
    %DOWNSTREAM_PEER_SUBJECT%  %DOWNSTREAM_PEER_ISSUER%  %DOWNSTREAM_PEER_CERT%  %DOWNSTREAM_PEER_FINGERPRINT_256%
    %UPSTREAM_HOST%  %UPSTREAM_CLUSTER%     (only in changes of responses)

A header whose commands all come to nothing is left out. Strings that our own Lua scripts fill in (ExternalAuth.path,
.signin, .set_headers, CustomErrors.headers) have fewer commands: `xds/filters/templates.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy.config.core.v3 import base_pb2

from sampan import ir
from sampan.xds.messages import Message

_SET = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_ADD = base_pb2.HeaderValueOption.APPEND_IF_EXISTS_OR_ADD


def change_request(made: Message, changes: ir.HeaderChanges) -> None:
    """`made` is a Route, a weighted cluster or a RouteConfiguration, which have the same fields."""
    made.request_headers_to_remove.extend(changes.remove)
    made.request_headers_to_add.extend(_options(changes.set, _SET))
    made.request_headers_to_add.extend(_options(changes.add, _ADD))


def change_response(made: Message, changes: ir.HeaderChanges) -> None:
    made.response_headers_to_remove.extend(changes.remove)
    made.response_headers_to_add.extend(_options(changes.set, _SET))
    made.response_headers_to_add.extend(_options(changes.add, _ADD))


def _options(headers: Iterable[tuple[str, str]], action: int) -> list[Message]:
    return [
        base_pb2.HeaderValueOption(header=base_pb2.HeaderValue(key=key, value=value), append_action=action)
        for key, value in headers
    ]
