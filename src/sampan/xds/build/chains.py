"""Filter chains: which connections, by SNI; whether TLS ends here; what handles the bytes."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, tls_pb2

from sampan import ir
from sampan.xds.build.hcm import http_connection_manager
from sampan.xds.build.secrets import NO_CERTIFICATE, by_name, tls_parameters
from sampan.xds.build.tcp_proxy import tcp_proxy
from sampan.xds.messages import Message, boolean, typed

NO_TABLE = ir.RouteTable("", ())


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a listener is told of the other parts. `filters`: table → the filters that its routes need."""

    tables: Mapping[str, ir.RouteTable]
    filters: Mapping[str, frozenset[str]]
    secrets: Container[str]


def chain(wanted: ir.SniChain, names: tuple[str, ...], around: Surroundings, stat_prefix: str) -> Message | None:
    """`names`: those of the chain's that no other has. None when its certificate is not there: Envoy would hold up the
    whole listener to wait for it."""
    made = listener_components_pb2.FilterChain(name=wanted.name)
    if wanted.tls:
        certificates = [name for name in wanted.tls.certificates if name in around.secrets]
        if not certificates:
            return None
        context = typed(_terminate(wanted.tls, certificates, around.secrets))
        socket = base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=context)
        made.transport_socket.CopyFrom(socket)
    if names:
        made.filter_chain_match.server_names.extend(names)
    made.filters.append(_handler(wanted, names, around, stat_prefix))
    return made


def _handler(wanted: ir.SniChain, names: tuple[str, ...], around: Surroundings, stat_prefix: str) -> Message:
    handler = wanted.handler
    if isinstance(handler, ir.Tcp):
        return tcp_proxy(handler, stat_prefix)
    return http_connection_manager(
        handler,
        stat_prefix=stat_prefix,
        names=names,
        not_found=around.tables.get(handler.table, NO_TABLE).not_found,
        filters=around.filters.get(handler.table, frozenset()),
    )


def _terminate(tls: ir.ListenerTls, certificates: list[str], secrets: Container[str]) -> Message:
    context = tls_pb2.DownstreamTlsContext()
    common = context.common_tls_context
    common.tls_certificate_sds_secret_configs.extend(map(by_name, certificates))
    common.alpn_protocols.extend(tls.alpn)
    if parameters := tls_parameters(tls.minimum, tls.maximum, tls.ciphers):
        common.tls_params.CopyFrom(parameters)
    if tls.client_insecure:
        untrusted = common_pb2.CertificateValidationContext.ACCEPT_UNTRUSTED
        combined = common.combined_validation_context
        if tls.client_ca in secrets:
            combined.default_validation_context.trust_chain_verification = untrusted
            combined.validation_context_sds_secret_config.CopyFrom(by_name(tls.client_ca))
        else:
            common.validation_context.trust_chain_verification = untrusted
    elif tls.client_ca and tls.client_ca not in secrets:
        # Nobody can be checked, so nobody comes in: nor by another chain, as this one keeps its names.
        common.validation_context.verify_certificate_hash.append(NO_CERTIFICATE)
        context.require_client_certificate.CopyFrom(boolean(True))
    elif tls.client_ca:
        common.validation_context_sds_secret_config.CopyFrom(by_name(tls.client_ca))
        context.require_client_certificate.CopyFrom(boolean(tls.client_required))
    return context
