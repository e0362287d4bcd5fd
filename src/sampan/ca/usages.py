"""Key usages by the names that certificates.k8s.io and cert-manager.io give them.

Source: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/certificate-signing-request-v1/
"""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Oid

KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
EXTENDED = {
    "any": Oid.ANY_EXTENDED_KEY_USAGE,
    "server auth": Oid.SERVER_AUTH,
    "client auth": Oid.CLIENT_AUTH,
    "code signing": Oid.CODE_SIGNING,
    "email protection": Oid.EMAIL_PROTECTION,
    "s/mime": Oid.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": Oid.TIME_STAMPING,
    "ocsp signing": Oid.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}
_FLAGS = tuple(dict.fromkeys(KEY_USAGES.values()))


def extensions(usages: Iterable[str]) -> list[tuple[x509.ExtensionType, bool]]:
    """(extension, critical) that say these usages; names that mean nothing are left out. Raises ValueError."""
    asked = sorted(set(usages))
    flags = {KEY_USAGES[usage] for usage in asked if usage in KEY_USAGES}
    purposes = list(dict.fromkeys(EXTENDED[usage] for usage in asked if usage in EXTENDED))
    found: list[tuple[x509.ExtensionType, bool]] = []
    if flags:
        found.append((x509.KeyUsage(**{flag: flag in flags for flag in _FLAGS}), True))
    if purposes:
        found.append((x509.ExtendedKeyUsage(purposes), False))
    return found
