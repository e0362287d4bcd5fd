"""Private keys of certificates: made, encoded, compared. PEM goes in and comes out.

Source: https://cert-manager.io/docs/reference/api-docs/#cert-manager.io/v1.CertificatePrivateKey
"""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

RSA_SIZES = (2048, 8192)
_CURVES: dict[int, ec.EllipticCurve] = {256: ec.SECP256R1(), 384: ec.SECP384R1(), 521: ec.SECP521R1()}
_FORMATS = {
    "PKCS1": serialization.PrivateFormat.TraditionalOpenSSL,
    "PKCS8": serialization.PrivateFormat.PKCS8,
}
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def generate(algorithm: str = "", size: int = 0) -> Key:
    """RSA (2048 bits, takes some 50 ms), ECDSA (P-256) or Ed25519. Raises ValueError."""
    match algorithm or "RSA":
        case "RSA":
            size = size or RSA_SIZES[0]
            if size < RSA_SIZES[0]:
                raise ValueError(f"weak rsa key size specified: {size}. minimum key size: {RSA_SIZES[0]}")
            if size > RSA_SIZES[1]:
                raise ValueError(f"rsa key size specified too big: {size}. maximum key size: {RSA_SIZES[1]}")
            return rsa.generate_private_key(65537, size)
        case "ECDSA":
            if (size or 256) not in _CURVES:
                raise ValueError(f"unsupported ecdsa key size specified: {size}")
            return ec.generate_private_key(_CURVES[size or 256])
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(f"unsupported private key algorithm specified: {algorithm}")


def load(pem: bytes) -> Key:
    """Raises ValueError."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except TypeError:
        raise ValueError("the private key is encrypted") from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise ValueError("unknown private key type")
    return key


def encode(key: Key, encoding: str = "") -> bytes:
    """PKCS1 (for ECDSA: SEC1) unless told otherwise; Ed25519 knows PKCS8 only."""
    form = _FORMATS[encoding or "PKCS1"]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def der(key: Key, encoding: str = "") -> bytes:
    """The same without its PEM clothes."""
    body = encode(key, encoding)
    form = _FORMATS["PKCS8"] if b"BEGIN PRIVATE" in body else _FORMATS["PKCS1"]
    return key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())


def public(key: Key) -> bytes:
    """What tells two keys apart."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.DER, form)


def mismatches(key: Key, algorithm: str = "", size: int = 0) -> list[str]:
    """Which of "algorithm" and "size" the key does not meet."""
    match algorithm or "RSA":
        case "RSA":
            fits = isinstance(key, rsa.RSAPrivateKey)
            have, wanted = (key.key_size if isinstance(key, rsa.RSAPrivateKey) else 0), size or RSA_SIZES[0]
        case "ECDSA":
            fits = isinstance(key, ec.EllipticCurvePrivateKey)
            have, wanted = (key.key_size if isinstance(key, ec.EllipticCurvePrivateKey) else 0), size or 256
        case _:
            fits, have, wanted = isinstance(key, ed25519.Ed25519PrivateKey), 0, 0
    if not fits:
        return ["algorithm"]
    return [] if have == wanted else ["size"]
