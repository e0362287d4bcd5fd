"""The HTTP connection manager: HTTP on a connection, as Envoy's best practices for an edge have it.

Where this differs from their document, it is for the people who come from nginx:

* headers with underscores are dropped, as nginx does, not answered with 400: what they could smuggle is gone either way
* `request_timeout` is off: an upload of hours is none of our business as long as bytes flow (`stream_idle_timeout`)

Escaped slashes (%2f, %5c) in paths are unescaped by a redirect, as the document says, so that routes and upstreams
see the same path; /../ and // are resolved.
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, protocol_pb2, substitution_format_string_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.access_loggers.stream.v3 import stream_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from sampan import ir
from sampan.xds.build.forward import STREAM_IDLE_TIMEOUT, UPGRADES
from sampan.xds.build.replies import local_replies
from sampan.xds.build.upstream import http2_options
from sampan.xds.filters import of_listener
from sampan.xds.messages import Message, ads, boolean, cidrs, duration, typed, uint32

_HCM = http_connection_manager_pb2.HttpConnectionManager

CONNECTION_IDLE_TIMEOUT = 3600.0
REQUEST_HEADERS_TIMEOUT = 60.0
"""Until the headers are complete; as nginx's client_header_timeout."""
CONCURRENT_STREAMS = 100
HEADERS = 200

ACCESS_LOG = (
    '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% [%START_TIME%] "%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%" '
    '%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION%ms "%REQ(:AUTHORITY)%" '
    '"%REQ(USER-AGENT)%" %UPSTREAM_CLUSTER% %UPSTREAM_HOST%\n'
)


def http_connection_manager(
    http: ir.Http, *, stat_prefix: str, names: tuple[str, ...], not_found: ir.Respond, filters: Iterable[str]
) -> Message:
    """`names`: of the TLS connection. `filters`: the instances that the table's routes need."""
    made = _HCM(
        stat_prefix=stat_prefix,
        rds=http_connection_manager_pb2.Rds(route_config_name=http.table, config_source=ads()),
        generate_request_id=boolean(False),
        http_filters=of_listener(filters, names if http.misdirected else ()),
        local_reply_config=local_replies(http, not_found),
        upgrade_configs=[_HCM.UpgradeConfig(upgrade_type=protocol) for protocol in UPGRADES],
    )
    _who_asks(made, http)
    _paths(made)
    _limits(made)
    if http.access_log:
        made.access_log.append(_access_log())
    if http.server_name:
        made.server_name = http.server_name
    else:
        made.server_header_transformation = _HCM.PASS_THROUGH
    return listener_components_pb2.Filter(
        name="envoy.filters.network.http_connection_manager", typed_config=typed(made)
    )


def _who_asks(made: Message, http: ir.Http) -> None:
    made.use_remote_address.CopyFrom(boolean(True))
    made.xff_num_trusted_hops = http.trusted_hops
    # No client is internal (by default private addresses are): x-envoy-… headers would steer retries and timeouts.
    made.internal_address_config.cidr_ranges.extend(cidrs(["255.255.255.255"]))


def _paths(made: Message) -> None:
    made.normalize_path.CopyFrom(boolean(True))
    made.merge_slashes = True
    made.path_with_escaped_slashes_action = _HCM.UNESCAPE_AND_REDIRECT


def _limits(made: Message) -> None:
    common = made.common_http_protocol_options
    common.idle_timeout.CopyFrom(duration(CONNECTION_IDLE_TIMEOUT))
    common.headers_with_underscores_action = protocol_pb2.HttpProtocolOptions.DROP_HEADER
    common.max_headers_count.CopyFrom(uint32(HEADERS))
    made.stream_idle_timeout.CopyFrom(duration(STREAM_IDLE_TIMEOUT))
    made.request_timeout.CopyFrom(duration(0))
    made.request_headers_timeout.CopyFrom(duration(REQUEST_HEADERS_TIMEOUT))
    made.http_protocol_options.accept_http_10 = True
    made.http_protocol_options.default_host_for_http_10 = "localhost"
    made.http2_protocol_options.CopyFrom(http2_options())
    made.http2_protocol_options.max_concurrent_streams.CopyFrom(uint32(CONCURRENT_STREAMS))


def _access_log() -> Message:
    source = base_pb2.DataSource(inline_string=ACCESS_LOG)
    form = substitution_format_string_pb2.SubstitutionFormatString(text_format_source=source)
    config = stream_pb2.StdoutAccessLog(log_format=form)
    return accesslog_pb2.AccessLog(name="envoy.access_loggers.stdout", typed_config=typed(config))
