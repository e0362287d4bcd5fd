"""Certificates as cert-manager issues them: a request made of names, signed by itself or by an authority. Pure.

Sources: RFC 5280, RFC 2986; https://cert-manager.io/docs/reference/api-docs/ says what each field becomes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from sampan.ca import keys, usages
from sampan.ca.keys import Key

SUBJECT = {
    "countries": NameOID.COUNTRY_NAME,
    "organizations": NameOID.ORGANIZATION_NAME,
    "organizationalUnits": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "localities": NameOID.LOCALITY_NAME,
    "provinces": NameOID.STATE_OR_PROVINCE_NAME,
    "streetAddresses": NameOID.STREET_ADDRESS,
    "postalCodes": NameOID.POSTAL_CODE,
}
NAMELESS = (
    "at least one of commonName (from the commonName field or from a literalSubject), dnsNames, emailSANs, "
    "ipAddresses, otherNames, or uriSANs must be set"
)
E = TypeVar("E", bound=x509.ExtensionType)
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Names:
    """Whom a certificate is for. `subject`: by the words of `SUBJECT`."""

    common_name: str = ""
    serial_number: str = ""
    subject: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What a certificate (or a request, which has no times) says. `public`: see `keys.public`."""

    names: Names
    public: bytes
    not_before: datetime | None = None
    not_after: datetime | None = None
    authority: bool = False

    @property
    def nameless(self) -> bool:
        """Is the subject empty?"""
        return not (self.names.common_name or self.names.serial_number or self.names.subject)


@dataclass(frozen=True)
class Terms:
    """What the issuer decides. `urls`: crlDistributionPoints, ocspServers, issuingCertificateURLs."""

    start: datetime
    life: timedelta
    usages: Sequence[str] = ()
    authority: bool = False
    urls: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Issued:
    """PEM: the certificate with what leads to the root, and the root (or what is nearest to it)."""

    chain: bytes
    ca: bytes


@dataclass(frozen=True)
class Wanted:
    """What a request asks for, in the order it was said. `literal`: an RFC 4514 text in place of the subject.

    `constraints`: (critical, permitted, excluded), each kind of name → patterns. `others`: (OID, text).
    """

    common_name: str = ""
    serial_number: str = ""
    literal: str = ""
    subject: Mapping[str, Sequence[str]] = field(default_factory=dict)
    dns: Sequence[str] = ()
    ips: Sequence[str] = ()
    uris: Sequence[str] = ()
    emails: Sequence[str] = ()
    others: Sequence[tuple[str, str]] = ()
    usages: Sequence[str] = ()
    constraints: tuple[bool, Mapping[str, Sequence[str]], Mapping[str, Sequence[str]]] | None = None


class Signer:
    """An authority that signs: its certificate first, then what leads to the root."""

    def __init__(self, certificates: Sequence[x509.Certificate], key: Key) -> None:
        self.certificates = certificates
        self.key = key

    @classmethod
    def load(cls, certificate: bytes, key: bytes, ca: bytes = b"") -> Signer:
        """Of PEM. Raises ValueError."""
        found = x509.load_pem_x509_certificates(certificate)
        return cls([*found, *(x509.load_pem_x509_certificates(ca) if ca else ())], keys.load(key))


def request(wanted: Wanted, key: Key) -> bytes:
    """A signed request, PEM. Raises ValueError."""
    names = _alternative(wanted)
    subject = _subject(wanted)
    if not names and not subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        raise ValueError(NAMELESS)
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not len(subject))
    for extension, critical in usages.extensions(wanted.usages):
        builder = builder.add_extension(extension, critical)
    if wanted.constraints:
        critical, permitted, excluded = wanted.constraints
        limits = x509.NameConstraints(_limits(permitted) or None, _limits(excluded) or None)
        builder = builder.add_extension(limits, critical)
    return builder.sign(key, _digest(key)).public_bytes(_PEM)


def sign(pem: bytes, signer: Signer, terms: Terms) -> Issued:
    """A certificate for a request. Raises ValueError."""
    asked = _request(pem)
    above = signer.certificates[0]
    leaf = _build(asked, above.subject, _authority_key(above), terms).sign(signer.key, _digest(signer.key))
    try:
        leaf.verify_directly_issued_by(above)
    except (InvalidSignature, TypeError, ValueError):
        raise ValueError("the authority's certificate is not that of its private key") from None
    chain = _chain([leaf, *signer.certificates])
    top = chain[-1]
    kept = [c for c in chain if not _self_signed(c)] or [leaf]
    return Issued(b"".join(c.public_bytes(_PEM) for c in kept), top.public_bytes(_PEM))


def self_sign(pem: bytes, key: Key, terms: Terms) -> Issued:
    """A certificate for a request of this very key. Raises ValueError."""
    asked = _request(pem)
    if _public(asked.public_key()) != keys.public(key):
        raise ValueError("CSR not signed by referenced private key")
    made = _build(asked, asked.subject, None, terms).sign(key, _digest(key)).public_bytes(_PEM)
    return Issued(made, made)


def read(pem: bytes) -> Facts:
    """The first certificate of a chain. Raises ValueError."""
    found = x509.load_pem_x509_certificates(pem)[0]
    constraints = _extension(found, x509.BasicConstraints)
    return Facts(
        _names(found.subject, found),
        _public(found.public_key()),
        found.not_valid_before_utc,
        found.not_valid_after_utc,
        constraints is not None and constraints.ca,
    )


def read_request(pem: bytes) -> Facts:
    """Raises ValueError."""
    asked = x509.load_pem_x509_csr(pem)
    return Facts(_names(asked.subject, asked), _public(asked.public_key()))


def literal_subject(text: str) -> Names:
    """The names in an RFC 4514 text. Raises ValueError."""
    return _subject_names(x509.Name.from_rfc4514_string(text))


# -- inside


def _request(pem: bytes) -> x509.CertificateSigningRequest:
    asked = x509.load_pem_x509_csr(pem)
    if not asked.is_signature_valid:
        raise ValueError("the request is not signed with its own key")
    return asked


def _build(
    asked: x509.CertificateSigningRequest, issuer: x509.Name, above: x509.ExtensionType | None, terms: Terms
) -> x509.CertificateBuilder:
    start = terms.start.replace(microsecond=0)
    public = asked.public_key()
    assert isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(asked.subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + terms.life)
        .add_extension(x509.BasicConstraints(ca=terms.authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    if above is not None:
        builder = builder.add_extension(above, critical=False)
    wanted = [*terms.usages, *(["cert sign"] if terms.authority else [])]
    for extension, critical in usages.extensions(wanted):
        builder = builder.add_extension(extension, critical)
    if (names := _extension(asked, x509.SubjectAlternativeName)) is not None:
        builder = builder.add_extension(names, critical=not len(asked.subject))
    if (limits := _extension(asked, x509.NameConstraints)) is not None:
        builder = builder.add_extension(limits, critical=True)
    return _with_urls(builder, terms.urls)


def _with_urls(builder: x509.CertificateBuilder, urls: Mapping[str, Sequence[str]]) -> x509.CertificateBuilder:
    if points := urls.get("crlDistributionPoints"):
        made = [x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None) for url in points]
        builder = builder.add_extension(x509.CRLDistributionPoints(made), critical=False)
    access = [
        x509.AccessDescription(method, x509.UniformResourceIdentifier(url))
        for word, method in (
            ("ocspServers", AuthorityInformationAccessOID.OCSP),
            ("issuingCertificateURLs", AuthorityInformationAccessOID.CA_ISSUERS),
        )
        for url in urls.get(word) or ()
    ]
    return builder.add_extension(x509.AuthorityInformationAccess(access), critical=False) if access else builder


def _authority_key(above: x509.Certificate) -> x509.AuthorityKeyIdentifier | None:
    own = _extension(above, x509.SubjectKeyIdentifier)
    return None if own is None else x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _digest(key: Key) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """The hash that is as strong as the key."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    steps = (4096, 3072) if isinstance(key, rsa.RSAPrivateKey) else (521, 384)
    return (
        hashes.SHA512()
        if key.key_size >= steps[0]
        else hashes.SHA384()
        if key.key_size >= steps[1]
        else hashes.SHA256()
    )


def _chain(found: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """From the first on, each issued by the next, up to the root or where it ends."""
    chain = [found[0]]
    while not _self_signed(chain[-1]):
        above = next((c for c in found if c not in chain and _issued(chain[-1], c)), None)
        if above is None:
            break
        chain.append(above)
    return chain


def _self_signed(certificate: x509.Certificate) -> bool:
    return _issued(certificate, certificate)


def _issued(certificate: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(above)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False
    return True


def _public(key: object) -> bytes:
    assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey)
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _subject(wanted: Wanted) -> x509.Name:
    if wanted.literal:
        return x509.Name.from_rfc4514_string(wanted.literal)
    parts = [x509.NameAttribute(oid, v) for word, oid in SUBJECT.items() for v in wanted.subject.get(word) or ()]
    if wanted.common_name:
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, wanted.common_name))
    if wanted.serial_number:
        parts.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, wanted.serial_number))
    return x509.Name(parts)


def _alternative(wanted: Wanted) -> list[x509.GeneralName]:
    return [
        *(x509.RFC822Name(name) for name in wanted.emails),
        *(x509.DNSName(name) for name in wanted.dns),
        *(x509.UniformResourceIdentifier(name) for name in wanted.uris),
        *(x509.IPAddress(ipaddress.ip_address(name)) for name in wanted.ips),
        *(x509.OtherName(x509.ObjectIdentifier(oid), _utf8(text)) for oid, text in wanted.others),
    ]


def _utf8(text: str) -> bytes:
    """DER of a UTF8String."""
    data = text.encode()
    if len(data) < 0x80:
        return b"\x0c" + bytes([len(data)]) + data
    size = len(data).to_bytes((len(data).bit_length() + 7) // 8, "big")
    return b"\x0c" + bytes([0x80 | len(size)]) + size + data


def _limits(patterns: Mapping[str, Sequence[str]]) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in patterns.get("dnsDomains") or ()),
        *(x509.IPAddress(ipaddress.ip_network(name)) for name in patterns.get("ipRanges") or ()),
        *(x509.RFC822Name(name) for name in patterns.get("emailAddresses") or ()),
        *(x509.UniformResourceIdentifier(name) for name in patterns.get("uriDomains") or ()),
    ]


def _names(subject: x509.Name, of: x509.Certificate | x509.CertificateSigningRequest) -> Names:
    alternative = _extension(of, x509.SubjectAlternativeName)
    base = _subject_names(subject)
    if alternative is None:
        return base
    return Names(
        base.common_name,
        base.serial_number,
        base.subject,
        tuple(alternative.get_values_for_type(x509.DNSName)),
        tuple(map(str, alternative.get_values_for_type(x509.IPAddress))),
        tuple(alternative.get_values_for_type(x509.UniformResourceIdentifier)),
        tuple(alternative.get_values_for_type(x509.RFC822Name)),
    )


def _subject_names(subject: x509.Name) -> Names:
    def values(oid: x509.ObjectIdentifier) -> Iterable[str]:
        return (str(part.value) for part in subject.get_attributes_for_oid(oid))

    parts = {word: tuple(values(oid)) for word, oid in SUBJECT.items()}
    common, serial = (next(iter(values(oid)), "") for oid in (NameOID.COMMON_NAME, NameOID.SERIAL_NUMBER))
    return Names(common, serial, {word: found for word, found in parts.items() if found})


def _extension(of: x509.Certificate | x509.CertificateSigningRequest, kind: type[E]) -> E | None:
    try:
        return of.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
