"""JSON Web Tokens signed with ES256: issue, read, and the public key as a key set.

Sources: RFC 7515 (JWS), RFC 7517 (JWK), RFC 7518 section 3.4 (ES256), RFC 7519 (JWT).
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from sampan.base import fs

_SIZE = 32  # bytes of each half of a P-256 signature
_SIGNATURE = ec.ECDSA(hashes.SHA256())


class Signer:
    """One key pair. Made or loaded by `open`."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self._public = key.public_key()
        der = self._public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key_id = _encode(hashlib.sha256(der).digest())
        self._header = _encode(orjson.dumps({"alg": "ES256", "kid": self.key_id}))

    @classmethod
    def open(cls, path: Path) -> Signer:
        """Load the PEM file, or make it (0600)."""
        if not path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            fs.write_atomic(path, key.private_bytes(*form), 0o600)
        loaded = serialization.load_pem_private_key(path.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        return cls(loaded)

    def sign(self, claims: dict[str, Any]) -> str:
        signed = f"{self._header}.{_encode(orjson.dumps(claims))}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), _SIGNATURE))
        return f"{signed}.{_encode(r.to_bytes(_SIZE, 'big') + s.to_bytes(_SIZE, 'big'))}"

    def read(self, token: str) -> dict[str, Any]:
        """The claims of a token that this key signed; times and audiences are the caller's. Raises ValueError."""
        signed, _, last = token.rpartition(".")
        head, _, body = signed.partition(".")
        header, signature = orjson.loads(_decode(head)), _decode(last)
        if not isinstance(header, dict) or header.get("alg") != "ES256" or len(signature) != 2 * _SIZE:
            raise ValueError("not signed with ES256")
        r, s = (int.from_bytes(half, "big") for half in (signature[:_SIZE], signature[_SIZE:]))
        try:
            self._public.verify(encode_dss_signature(r, s), signed.encode(), _SIGNATURE)
        except InvalidSignature:
            raise ValueError("invalid signature") from None
        claims = orjson.loads(_decode(body))
        if not isinstance(claims, dict):
            raise ValueError("the claims are no object")
        return claims

    def key_set(self) -> dict[str, Any]:
        """The public key as a JWK set."""
        numbers = self._public.public_numbers()
        x, y = (_encode(n.to_bytes(_SIZE, "big")) for n in (numbers.x, numbers.y))
        key = {"use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256", "x": x, "y": y}
        return {"keys": [key]}


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
