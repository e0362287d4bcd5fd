"""Certificates for requests: what each signer signs."""

import datetime
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sampan.ca.authority import Authority
from sampan.ca.requests import LONGEST, sign

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
CLIENT, KUBELET = "kubernetes.io/kube-apiserver-client", "kubernetes.io/kubelet-serving"


def request(name, *groups):
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = x509.SubjectAlternativeName([x509.DNSName("n.example")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(names, critical=False)
    made = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path):
    return Authority.open(tmp_path, "test", NOW)


def test_a_client(authority):
    usages = ["client auth", "digital signature"]
    pem = sign(authority, CLIENT, request("jane", "devs"), usages, timedelta(hours=1), NOW)
    made = x509.load_pem_x509_certificate(pem)
    made.verify_directly_issued_by(authority.certificate)
    assert made.subject.rfc4514_string() == "CN=jane,O=devs"
    assert made.not_valid_after_utc == NOW + timedelta(hours=1)
    assert made.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    assert made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_nothing_lasts_longer_than_a_year(authority):
    made = x509.load_pem_x509_certificate(
        sign(authority, CLIENT, request("jane"), ["client auth"], timedelta(days=9999), NOW)
    )
    assert made.not_valid_after_utc == NOW + LONGEST
    with pytest.raises(x509.ExtensionNotFound):
        made.extensions.get_extension_for_class(x509.KeyUsage)


@pytest.mark.parametrize(
    ("signer", "usages", "who", "text"),
    [
        (CLIENT, ["server auth"], ("jane",), "usages did not match"),
        (CLIENT, ["client auth", "cert sign"], ("jane",), "usages did not match"),
        (KUBELET, ["server auth"], ("system:node:n", "devs"), "organization is not system:nodes"),
        (KUBELET, ["server auth"], ("n", "system:nodes"), "does not begin with system:node:"),
    ],
)
def test_what_is_not_signed(authority, signer, usages, who, text):
    with pytest.raises(ValueError, match=text):
        sign(authority, signer, request(*who), usages, timedelta(hours=1), NOW)
