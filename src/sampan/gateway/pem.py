"""Certificates and keys as they stand in Secrets and ConfigMaps: what an Envoy would refuse is found here first.

cryptography is heavy: it is imported when there is something to look at.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sampan.api.meta import Obj

if TYPE_CHECKING:
    from cryptography import x509


class Unusable(ValueError):
    """Says what is wrong, in words that go on after "Secret a/b: "."""


def entry(secret: Obj, name: str) -> bytes:
    """The bytes of one entry of a Secret. Raises Unusable."""
    try:
        return base64.b64decode((secret.get("data") or {})[name])
    except KeyError:
        raise Unusable(f"it has no {name}") from None
    except (binascii.Error, ValueError):
        raise Unusable(f"its {name} is not base64") from None


def pair(secret: Obj) -> tuple[bytes, bytes]:
    """(chain, key) of a Secret of type kubernetes.io/tls. Raises Unusable."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    chain, key = entry(secret, "tls.crt"), entry(secret, "tls.key")
    first = certificates(chain, "tls.crt")
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Unusable("its tls.key is not a private key in PEM") from None
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != first.public_key().public_bytes(*form):
        raise Unusable("its tls.key does not belong to its tls.crt")
    return chain, key


def roots(data: Mapping[str, str]) -> bytes:
    """`ca.crt` of a ConfigMap's data. Raises Unusable."""
    if "ca.crt" not in data:
        raise Unusable("it has no ca.crt")
    pem = data["ca.crt"].encode()
    certificates(pem, "ca.crt")
    return pem


def certificates(pem: bytes, name: str) -> x509.Certificate:
    """The first of the certificates, all of which can be read. Raises Unusable."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(pem)[0]
    except ValueError:
        raise Unusable(f"its {name} is not a certificate in PEM") from None
