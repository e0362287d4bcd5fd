"""Certificates and keys as they stand in Secrets and ConfigMaps: what an Envoy would refuse is found here first. It
refuses the whole listener with all its other certificates: one Secret would hold up everybody's HTTPS.

cryptography is heavy: it is imported when there is something to look at.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sampan.api.meta import Obj

if TYPE_CHECKING:
    from cryptography import x509

# Source: Envoy's TLS contexts (context_impl.cc, server_context_impl.cc); BoringSSL (ssl_cert.cc, ssl_privkey.cc).
_KEYS = "RSA of at least 2048 bits, ECDSA on P-256, P-384 or P-521, Ed25519"
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_RSA, _RSA_BITS = "1.2.840.113549.1.1.1", 2048
_REVOKED = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


class Unusable(ValueError):
    """Says what is wrong, in words that go on after "Secret a/b: "."""


def entry(secret: Obj, name: str) -> bytes:
    """The bytes of one entry of a Secret. Raises Unusable."""
    text = (secret.get("data") or {}).get(name)
    if not text:
        raise Unusable(f"it has no {name}")
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        raise Unusable(f"its {name} is not base64") from None


def pair(secret: Obj) -> tuple[bytes, bytes]:
    """(chain, key) of a Secret of type kubernetes.io/tls. Raises Unusable."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    chain, key = _certificates(entry(secret, "tls.crt"), "tls.crt"), entry(secret, "tls.key")
    try:
        private: Any = serialization.load_pem_private_key(_plain(key), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Unusable("its tls.key is not a private key in PEM without a password") from None
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        belongs = private.public_key().public_bytes(*form) == chain[0].public_key().public_bytes(*form)
    except (ValueError, UnsupportedAlgorithm):
        raise Unusable(f"the key of its tls.crt is of a kind that cannot be used ({_KEYS} can)") from None
    if not belongs:
        raise Unusable("its tls.key does not belong to its tls.crt")
    _usable(chain[0], private)
    written = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _written(chain), written


def roots(pem: bytes) -> bytes:
    """The authorities in a ca.crt, with their lists of revoked certificates. Raises Unusable."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    made = _written(_certificates(pem, "ca.crt"))
    for revoked in _REVOKED.findall(_plain(pem)):
        try:
            made += x509.load_pem_x509_crl(revoked).public_bytes(serialization.Encoding.PEM)
        except ValueError:
            raise Unusable("a list of revoked certificates in its ca.crt cannot be read") from None
    return made


def roots_of(data: Mapping[str, str]) -> bytes:
    """`ca.crt` of a ConfigMap's data. Raises Unusable."""
    if "ca.crt" not in data:
        raise Unusable("it has no ca.crt")
    return roots(data["ca.crt"].encode())


def names(chain: bytes) -> list[str]:
    """The host names that a chain of `pair` is for."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(chain).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return found.value.get_values_for_type(x509.DNSName)


def _plain(pem: bytes) -> bytes:
    """Without what editors and YAML put around lines."""
    return b"\n".join(line.strip() for line in pem.removeprefix(b"\xef\xbb\xbf").splitlines()) + b"\n"


def _certificates(pem: bytes, name: str) -> list[x509.Certificate]:
    """At least one, all of which can be read. Raises Unusable."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(_plain(pem))
    except ValueError:
        raise Unusable(f"its {name} is not a certificate in PEM") from None


def _written(certificates: list[x509.Certificate]) -> bytes:
    """As BoringSSL reads it, whatever stood around."""
    from cryptography.hazmat.primitives import serialization

    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def _usable(leaf: x509.Certificate, key: Any) -> None:
    """Raises Unusable for what Envoy does not show to anybody."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, rsa.RSAPrivateKey):
        kind, fine = f"RSA of {key.key_size} bits", key.key_size >= _RSA_BITS
        if leaf.public_key_algorithm_oid.dotted_string != _RSA:
            kind, fine = "RSA-PSS", False
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        kind, fine = f"ECDSA on {key.curve.name}", key.curve.name in _CURVES
    else:
        kind, fine = type(key).__name__.removesuffix("PrivateKey"), isinstance(key, ed25519.Ed25519PrivateKey)
    if not fine:
        raise Unusable(f"its key is {kind}, which cannot be used ({_KEYS} can)")
    try:
        found = {one.oid: one.value for one in leaf.extensions}
    except (ValueError, x509.DuplicateExtension):
        raise Unusable("the extensions of its tls.crt cannot be read") from None
    alternative = found.get(x509.SubjectAlternativeName.oid)
    known = (x509.DNSName, x509.IPAddress, x509.UniformResourceIdentifier)
    named = isinstance(alternative, x509.SubjectAlternativeName) and any(isinstance(one, known) for one in alternative)
    if not named and not leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME):
        raise Unusable("its tls.crt is for nobody: it has neither a common name nor alternative names")
    feature = found.get(x509.TLSFeature.oid)
    if isinstance(feature, x509.TLSFeature) and x509.TLSFeatureType.status_request in feature:
        raise Unusable("its tls.crt demands OCSP stapling (must-staple), which the gateway does not do")
    usage = found.get(x509.KeyUsage.oid)
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(usage, x509.KeyUsage) and not usage.digital_signature:
        raise Unusable("the key usage of its tls.crt does not allow digital signatures")
