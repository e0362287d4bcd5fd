"""Certificates and keys as they come: of every kind that tools make, and broken in every way that people manage."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

_PEM = serialization.Encoding.PEM
_PKCS8, _OLD = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
_OPEN = serialization.NoEncryption()
Pair = tuple[bytes, bytes]


def _rsa(bits: int) -> Callable[[], Any]:
    return lambda: rsa.generate_private_key(65537, bits)


def _curve(curve: ec.EllipticCurve) -> Callable[[], Any]:
    return lambda: ec.generate_private_key(curve)


_KEYS: dict[str, Callable[[], Any]] = {
    "rsa-1024": _rsa(1024),
    "rsa-2040": _rsa(2040),
    "rsa-2048": _rsa(2048),
    "p-224": _curve(ec.SECP224R1()),
    "p-256": _curve(ec.SECP256R1()),
    "p-384": _curve(ec.SECP384R1()),
    "p-521": _curve(ec.SECP521R1()),
    "secp256k1": _curve(ec.SECP256K1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
    "dsa": lambda: dsa.generate_private_key(1024),
}


@functools.cache
def key(kind: str) -> Any:
    return _KEYS[kind]()


def _pem_key(private: Any, form: Any = _PKCS8, lock: Any = _OPEN) -> bytes:
    made: bytes = private.private_bytes(_PEM, form, lock)
    return made


def _certificate(
    private: Any,
    names: tuple[str, ...] = ("odd.example",),
    *,
    days: tuple[int, int] = (-1, 365),
    ca: bool | None = False,
    more: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    subject: str = "odd",
) -> bytes:
    """Self-signed, PEM. `ca` None: without basicConstraints."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else [])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now + timedelta(days=days[0])).not_valid_after(now + timedelta(days=days[1]))
    if ca is not None:
        made = made.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if names:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=not subject)
    for extension, critical in more:
        made = made.add_extension(extension, critical)
    alone = isinstance(private, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return made.sign(private, None if alone else hashes.SHA256()).public_bytes(_PEM)


def _revoked() -> bytes:
    """A list of revoked certificates."""
    now = datetime.now(UTC)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")])
    made = x509.CertificateRevocationListBuilder(issuer, now, now + timedelta(days=9))
    return made.sign(key("p-256"), hashes.SHA256()).public_bytes(_PEM)


def _one_line(pem: bytes) -> bytes:
    first, *body, last = pem.strip().splitlines()
    return b"\n".join([first, b"".join(body), last, b""])


_NO_CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMIIBnothing\n-----END CERTIFICATE-----\n"
_CURVE = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


@functools.cache
def pairs() -> dict[str, Pair]:
    """By what is odd about them: (chain, key)."""
    made = {kind: (_certificate(key(kind)), _pem_key(key(kind))) for kind in _KEYS}
    good, private = made["p-256"]
    odd, plain = key("p-256"), made["rsa-2048"]
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    usage = dict.fromkeys(
        ("content_commitment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
    )
    signs = x509.KeyUsage(digital_signature=False, key_encipherment=False, key_cert_sign=True, crl_sign=True, **usage)
    mailbox = x509.SubjectAlternativeName([x509.RFC822Name("a@odd.example")])
    locked = serialization.BestAvailableEncryption(b"secret")
    certificates = {
        "expired": _certificate(odd, days=(-400, -100)),
        "not yet": _certificate(odd, days=(100, 400)),
        "must-staple": _certificate(odd, more=((x509.TLSFeature([x509.TLSFeatureType.status_request]), False),)),
        "unknown critical": _certificate(odd, more=((unknown, True),)),
        "only signs": _certificate(odd, more=((signs, True),)),
        "rsa that only signs": _certificate(key("rsa-2048"), more=((signs, True),)),
        "ed25519 that only signs": _certificate(key("ed25519"), more=((signs, True),)),
        "for a mailbox": _certificate(odd, (), subject="", more=((mailbox, True),)),
        "nameless": _certificate(odd, (), subject=""),
        "no names": _certificate(odd, ()),
        "many names": _certificate(odd, tuple(f"n{i}.example" for i in range(1500))),
        "odd names": _certificate(odd, ("*", "*.com", "a_b.example", "xn--.example", ".")),
        "is a CA": _certificate(odd, ca=True),
        "no constraints": _certificate(odd, ca=None),
        "crlf": good.replace(b"\n", b"\r\n"),
        "in one line": _one_line(good),
        "garbage behind": good + b"\x00\xff and more\n",
        "garbage before": b"Bag Attributes\n  friendlyName: \xe4\n" + good,
        "indented": b"".join(b"  " + line + b"\n" for line in good.splitlines()),
        "blanks behind lines": good.replace(b"\n", b"  \n"),
        "bom": b"\xef\xbb\xbf" + good,
        "twice": good + good,
        "long": good + plain[0] * 40,
        "broken behind": good + _NO_CERTIFICATE,
        "revocations behind": good + _revoked(),
        "of another": plain[0],
        "another first": plain[0] + good,
        "no end": good[:-20],
        "empty": b"",
        "blank": b"\n \n",
        "old label": good.replace(b"CERTIFICATE", b"X509 CERTIFICATE"),
        "trusted": good.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"),
        "der": x509.load_pem_x509_certificate(good).public_bytes(serialization.Encoding.DER),
        "key too": private + good,
    }
    keys = {
        "key of old form": _pem_key(odd, _OLD),
        "key with its curve": _CURVE + _pem_key(odd, _OLD),
        "locked key": _pem_key(odd, _PKCS8, locked),
        "locked key of old form": _pem_key(odd, _OLD, locked),
        "crlf in the key": private.replace(b"\n", b"\r\n"),
        "key in one line": _one_line(private),
        "garbage behind the key": private + b"\x00\xff",
        "certificate before the key": good + private,
        "two keys": private + plain[1],
        "public key": odd.public_key().public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "no key": b"",
    }
    made |= {what: (chain, private) for what, chain in certificates.items()}
    made |= {what: (good, one) for what, one in keys.items()}
    made["rsa that only signs"] = (certificates["rsa that only signs"], plain[1])
    made["ed25519 that only signs"] = (certificates["ed25519 that only signs"], made["ed25519"][1])
    made["rsa of old form"] = (plain[0], _pem_key(key("rsa-2048"), _OLD))
    return made


@functools.cache
def roots() -> dict[str, bytes]:
    """ca.crt, by what is odd about it."""
    good = _certificate(key("p-256"), (), ca=True)
    made = {what: chain for what, (chain, _) in pairs().items()}
    return made | {
        "good": good,
        "weak too": good + made["rsa-1024"],
        "several of one name": good + _certificate(key("p-384"), (), ca=True),
        "revocations": good + _revoked(),
        "only revocations": _revoked(),
        "broken revocations": good + _revoked().replace(b"MI", b"MX"),
        "broken second": good + _NO_CERTIFICATE,
    }
