"""How a cluster speaks to its endpoints: TLS, the version of HTTP, trying again."""

from __future__ import annotations

from collections.abc import Container

from envoy.config.core.v3 import protocol_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, tls_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.matcher.v3 import string_pb2

from sampan import ir
from sampan.xds.build.retries import retry_policy
from sampan.xds.build.secrets import NO_CERTIFICATE, by_name, system_roots, tls_parameters
from sampan.xds.messages import Message, duration, uint32

# Seconds. Servers close unused connections after 2 s (gunicorn), 5 s (Node, uvicorn, Apache) or more. A request sent at
# that very moment fails, and is not sent again: nobody knows whether it was read. (nginx does, if the method is
# idempotent. A retry policy of Envoy can be limited to methods as a whole only: POST would lose what is safe for it. A
# header x-envoy-retry-on that CEL makes of the method would do, for 7 % more instructions a request.)
# So we are the first to close. Connections that are busier than that are kept, for others a new one costs little.
IDLE_TIMEOUT = 1.5

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def http2_options() -> Message:
    """The windows of Envoy's best practices for an edge."""
    return protocol_pb2.Http2ProtocolOptions(
        initial_stream_window_size=uint32(64 * 1024), initial_connection_window_size=uint32(1024 * 1024)
    )


def http_options(cluster: ir.Cluster) -> Message:
    made = http_protocol_options_pb2.HttpProtocolOptions()
    made.common_http_protocol_options.idle_timeout.CopyFrom(duration(IDLE_TIMEOUT))
    if cluster.retry:
        made.retry_policy.CopyFrom(retry_policy(cluster.retry))
    if cluster.http2_auto and cluster.tls:
        made.auto_config.http2_protocol_options.CopyFrom(http2_options())
    elif cluster.http2:
        made.explicit_http_config.http2_protocol_options.CopyFrom(http2_options())
    else:
        made.explicit_http_config.http_protocol_options.SetInParent()
    return made


def tls_context(tls: ir.UpstreamTls, http2: bool, secrets: Container[str]) -> Message:
    """Without `ca` nothing is checked. With one that is not there nobody is trusted: every connection fails."""
    context = tls_pb2.UpstreamTlsContext(sni=tls.sni)
    common = context.common_tls_context
    if tls.client_certificate and tls.client_certificate in secrets:
        common.tls_certificate_sds_secret_configs.append(by_name(tls.client_certificate))
    if parameters := tls_parameters(tls.minimum, tls.maximum, tls.ciphers):
        common.tls_params.CopyFrom(parameters)
    if http2:
        common.alpn_protocols.append("h2")
    if tls.ca == "system":
        common.validation_context.CopyFrom(system_roots())
        common.validation_context.match_typed_subject_alt_names.extend(map(_name, tls.names))
    elif tls.ca and tls.ca not in secrets:
        common.validation_context.verify_certificate_hash.append(NO_CERTIFICATE)
    elif tls.ca:
        combined = common.combined_validation_context
        combined.default_validation_context.match_typed_subject_alt_names.extend(map(_name, tls.names))
        combined.validation_context_sds_secret_config.CopyFrom(by_name(tls.ca))
    return context


def _name(name: str) -> Message:
    matcher = common_pb2.SubjectAltNameMatcher
    kind = matcher.URI if ":" in name else matcher.DNS  # "https://…", "urn:…"
    return matcher(san_type=kind, matcher=string_pb2.StringMatcher(exact=name))
