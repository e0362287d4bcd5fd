"""Certificates as cert-manager issues them; openssl judges the chains."""

import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sampan.ca import issuing, keys
from sampan.ca.issuing import Signer, Terms, Wanted

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
EC = keys.generate("ECDSA")


def authority(name="root", above=None, **terms):
    """(what was issued, its key)."""
    key = keys.generate("ECDSA")
    asked = issuing.request(Wanted(name), key)
    made = Terms(NOW, 10 * DAY, authority=True, **terms)
    return (issuing.sign(asked, above, made) if above else issuing.self_sign(asked, key, made)), key


def signer(issued, key):
    return Signer.load(issued.chain, keys.encode(key), issued.ca)


def openssl_verify(tmp_path, ca, chain, *options):
    (tmp_path / "ca").write_bytes(ca)
    (tmp_path / "chain").write_bytes(chain)
    files = ["-CAfile", tmp_path / "ca", "-untrusted", tmp_path / "chain"]
    argv = ["openssl", "verify", "-x509_strict", *options, *files, tmp_path / "chain"]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_all_names_and_usages_arrive():
    wanted = Wanted(
        "example.com",
        "42",
        subject={"organizations": ["a", "b"], "countries": ["NO"]},
        dns=("example.com", "*.example.com"),
        ips=("10.0.0.1", "::1"),
        uris=("spiffe://cluster.local/ns/a/sa/b",),
        emails=("a@example.com",),
        others=(("1.3.6.1.4.1.311.20.2.3", "a@example.com"),),
        usages=("digital signature", "server auth"),
    )
    root = signer(*authority())
    pem = issuing.request(wanted, EC)
    asked = issuing.read_request(pem)
    terms = Terms(NOW, DAY, ("digital signature", "server auth"), urls={"ocspServers": ["http://o"]})
    made = issuing.sign(pem, root, terms)
    facts = issuing.read(made.chain)
    assert facts.names == asked.names
    assert facts.names.subject == {"organizations": ("a", "b"), "countries": ("NO",)}
    assert facts.names.ips == ("10.0.0.1", "::1")
    assert (facts.public, facts.authority) == (keys.public(EC), False)
    assert (facts.not_before, facts.not_after) == (NOW.replace(microsecond=0), NOW.replace(microsecond=0) + DAY)
    found = x509.load_pem_x509_certificate(made.chain)
    assert list(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH
    ]
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert not names.critical
    assert names.value.get_values_for_type(x509.OtherName)[0].value == b"\x0c\x0da@example.com"
    assert found.extensions.get_extension_for_class(x509.AuthorityInformationAccess)


def test_a_certificate_without_a_subject_has_critical_names():
    made = issuing.sign(issuing.request(Wanted(dns=("a",)), EC), signer(*authority()), Terms(NOW, DAY))
    names = x509.load_pem_x509_certificate(made.chain).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical


def test_chains_lead_to_the_root_which_is_not_in_them(tmp_path):
    root = authority()
    middle = authority("middle", signer(*root))
    leaf = issuing.sign(issuing.request(Wanted("leaf", dns=("a.example",)), EC), signer(*middle), Terms(NOW, DAY))
    subjects = [c.subject.rfc4514_string() for c in x509.load_pem_x509_certificates(leaf.chain)]
    assert subjects == ["CN=leaf", "CN=middle"]
    assert leaf.ca == root[0].ca
    assert openssl_verify(tmp_path, leaf.ca, leaf.chain, "-verify_hostname", "a.example").returncode == 0
    assert openssl_verify(tmp_path, leaf.ca, leaf.chain, "-verify_hostname", "b.example").returncode
    assert openssl_verify(tmp_path, authority()[0].ca, leaf.chain).returncode


def test_an_authority_whose_root_is_unknown_is_the_top_itself():
    root = authority()
    middle, key = authority("middle", signer(*root))
    leaf = issuing.sign(
        issuing.request(Wanted("leaf"), EC), Signer.load(middle.chain, keys.encode(key)), Terms(NOW, DAY)
    )
    assert leaf.ca == middle.chain
    assert leaf.chain.endswith(middle.chain)


def test_self_signed():
    made = issuing.self_sign(issuing.request(Wanted("a"), EC), EC, Terms(NOW, DAY))
    assert made.chain == made.ca
    with pytest.raises(ValueError, match="CSR not signed by referenced private key"):
        issuing.self_sign(issuing.request(Wanted("a"), EC), keys.generate("ECDSA"), Terms(NOW, DAY))


def test_an_authority_with_the_key_of_another_signs_nothing():
    wrong = Signer.load(authority()[0].chain, keys.encode(EC))
    with pytest.raises(ValueError, match="is not that of its private key"):
        issuing.sign(issuing.request(Wanted("a"), EC), wrong, Terms(NOW, DAY))


def test_name_constraints_bind(tmp_path):
    key = keys.generate("ECDSA")
    limits = (True, {"dnsDomains": ["example.com"]}, {"ipRanges": ["10.0.0.0/8"]})
    asked = issuing.request(Wanted("root", constraints=limits), key)
    root = issuing.self_sign(asked, key, Terms(NOW, DAY, authority=True))
    for host, code in (("a.example.com", 0), ("a.example.org", 2)):
        leaf = issuing.sign(issuing.request(Wanted(dns=(host,)), EC), signer(root, key), Terms(NOW, DAY))
        assert openssl_verify(tmp_path, leaf.ca, leaf.chain).returncode == code


def test_a_literal_subject():
    facts = issuing.read_request(issuing.request(Wanted(literal="CN=a,OU=b,O=c"), EC))
    assert facts.names == issuing.literal_subject("CN=a,OU=b,O=c")
    assert facts.names.common_name == "a"
    asked = x509.load_pem_x509_csr(issuing.request(Wanted(literal="CN=a,O=c"), EC))
    assert [part.oid for part in asked.subject] == [NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME]


@pytest.mark.parametrize(
    "wanted", [Wanted(), Wanted(ips=("x",)), Wanted("a" * 65), Wanted(dns=("ö",)), Wanted(literal="CN")]
)
def test_what_cannot_be_asked_for(wanted):
    with pytest.raises(ValueError):
        issuing.request(wanted, EC)


@pytest.mark.parametrize(
    ("algorithm", "size", "pkcs1", "other"),
    [
        ("", 0, b"RSA PRIVATE KEY", ("ECDSA", 0)),
        ("RSA", 3072, b"RSA PRIVATE KEY", ("RSA", 2048)),
        ("ECDSA", 0, b"EC PRIVATE KEY", ("ECDSA", 384)),
        ("ECDSA", 521, b"EC PRIVATE KEY", ("Ed25519", 0)),
        ("Ed25519", 0, b"PRIVATE KEY", ("", 0)),
    ],
)
def test_keys(algorithm, size, pkcs1, other):
    key = keys.generate(algorithm, size)
    assert keys.encode(key).startswith(b"-----BEGIN " + pkcs1)
    assert keys.encode(key, "PKCS8").startswith(b"-----BEGIN PRIVATE KEY")
    assert keys.public(keys.load(keys.encode(key))) == keys.public(key)
    assert keys.der(key)[0] == 0x30
    assert keys.mismatches(key, algorithm, size) == []
    assert keys.mismatches(key, *other)
    made = issuing.self_sign(issuing.request(Wanted("a"), key), key, Terms(NOW, DAY))
    assert issuing.read(made.chain).public == keys.public(key)


@pytest.mark.parametrize(("algorithm", "size"), [("RSA", 1024), ("RSA", 9000), ("ECDSA", 300), ("DSA", 0)])
def test_keys_that_are_refused(algorithm, size):
    with pytest.raises(ValueError):
        keys.generate(algorithm, size)
    with pytest.raises(ValueError):
        keys.load(b"nonsense")
