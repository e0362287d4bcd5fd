"""Certificates without their keys."""

from __future__ import annotations

from typing import Any

from cryptography import x509

from sampan.api.meta import timestamp
from sampan.xds import types
from sampan.xds.simulate.messages import parsed
from sampan.xds.types import Resource


def shown(resource: Resource) -> dict[str, Any]:
    """Whom each certificate is for and how long; nothing that is secret."""
    secret = parsed(types.SECRET, resource.body)
    if secret.WhichOneof("type") == "validation_context":
        return {"kind": "roots", "certificates": _all(secret.validation_context.trusted_ca.inline_bytes)}
    return {"kind": "certificate", "certificates": _all(secret.tls_certificate.certificate_chain.inline_bytes)}


def _all(pem: bytes) -> list[dict[str, Any]]:
    return [_one(certificate) for certificate in x509.load_pem_x509_certificates(pem)] if pem.strip() else []


def _one(certificate: x509.Certificate) -> dict[str, Any]:
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "names": _names(certificate),
        "notBefore": timestamp(certificate.not_valid_before_utc),
        "notAfter": timestamp(certificate.not_valid_after_utc),
        "serial": f"{certificate.serial_number:x}",
    }


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in extension.value]
