"""Secrets → SDS: certificates with keys, and roots to check others with. Envoy swaps them and keeps connections."""

from __future__ import annotations

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2

from sampan import ir
from sampan.xds.messages import Message, ads, resource, serialized
from sampan.xds.types import Resource

NO_CERTIFICATE = "0" * 64
"""A hash that none has. Where the roots to check with are missing, waiting for them would hold up more than the one."""

SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"


def secret_resource(secret: ir.Secret) -> Resource:
    made = secret_pb2.Secret(name=secret.name)
    if secret.chain:
        made.tls_certificate.certificate_chain.inline_bytes = secret.chain
        made.tls_certificate.private_key.inline_bytes = secret.key
    else:
        made.validation_context.trusted_ca.inline_bytes = secret.roots
    return resource(secret.name, serialized(made), (secret.origin,))


def by_name(name: str) -> Message:
    return secret_pb2.SdsSecretConfig(name=name, sds_config=ads())


def system_roots() -> Message:
    return common_pb2.CertificateValidationContext(trusted_ca=base_pb2.DataSource(filename=SYSTEM_ROOTS))


def tls_parameters(minimum: str, maximum: str, ciphers: tuple[str, ...]) -> Message | None:
    """None for Envoy's own: TLS 1.2 to 1.3 where it serves, with the ciphers that are considered safe."""
    if not (minimum or maximum or ciphers):
        return None
    versions = {
        "": common_pb2.TlsParameters.TLS_AUTO,
        "1.0": common_pb2.TlsParameters.TLSv1_0,
        "1.1": common_pb2.TlsParameters.TLSv1_1,
        "1.2": common_pb2.TlsParameters.TLSv1_2,
        "1.3": common_pb2.TlsParameters.TLSv1_3,
    }
    return common_pb2.TlsParameters(
        tls_minimum_protocol_version=versions[minimum],
        tls_maximum_protocol_version=versions[maximum],
        cipher_suites=ciphers,
    )
