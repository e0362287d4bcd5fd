"""The cluster's certificate authority: a root and leaves signed by it, kept as PEM files in one directory.

Source: RFC 5280; names as kube-apiserver reads them (CN is the user, O the groups).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sampan.base import fs

ROOT_DAYS = 3650
LEAF_DAYS = 365
RENEW_DAYS = 60  # a leaf with less time left is issued anew


@dataclass(frozen=True)
class Leaf:
    """What a certificate should say. `hosts` are DNS names and IPs; `server`/`client` its extended key usages."""

    name: str
    user: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    server: bool = False
    client: bool = False


class Authority:
    """`certificate` and `key` are the root's.

    Issues leaves into `directory`: NAME.crt (leaf), NAME.key (0600). Made or loaded by `open`."""

    def __init__(self, directory: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.directory = directory
        self.certificate = certificate
        self.key = key

    @classmethod
    def open(cls, directory: Path, common_name: str, now: datetime) -> Authority:
        """Load ca.crt and ca.key from `directory`, or make them."""
        crt, key_file = directory / "ca.crt", directory / "ca.key"
        if crt.exists() and key_file.exists():
            key = serialization.load_pem_private_key(key_file.read_bytes(), None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            return cls(directory, x509.load_pem_x509_certificate(crt.read_bytes()), key)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(common_name)
        certificate = (
            _builder(subject, subject, key, now, ROOT_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        fs.write_atomic(key_file, _pem(key), 0o600)
        fs.write_atomic(crt, certificate.public_bytes(serialization.Encoding.PEM))
        return cls(directory, certificate, key)

    def ensure(self, leaf: Leaf, now: datetime) -> None:
        """Issue `leaf` unless its files are there, say the same and last long enough."""
        crt = self.directory / f"{leaf.name}.crt"
        if crt.exists() and self._still_good(x509.load_pem_x509_certificate(crt.read_bytes()), leaf, now):
            return
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] * leaf.server + [ExtendedKeyUsageOID.CLIENT_AUTH] * leaf.client
        builder = (
            _builder(_name(leaf.user, leaf.groups), self.certificate.subject, key, now, LEAF_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        if leaf.hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(_general_names(leaf.hosts)), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        fs.write_atomic(self.directory / f"{leaf.name}.key", _pem(key), 0o600)
        fs.write_atomic(crt, certificate.public_bytes(serialization.Encoding.PEM))

    def _still_good(self, have: x509.Certificate, leaf: Leaf, now: datetime) -> bool:
        if have.not_valid_after_utc - now < timedelta(days=RENEW_DAYS) or have.issuer != self.certificate.subject:
            return False
        if have.subject != _name(leaf.user, leaf.groups):
            return False
        try:
            names = have.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            return list(names) == _general_names(leaf.hosts)
        except x509.ExtensionNotFound:
            return not leaf.hosts


def _name(common_name: str, groups: Sequence[str] = ()) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, g) for g in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for host in hosts:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            found.append(x509.DNSName(host))
    return found


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(sign_certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
