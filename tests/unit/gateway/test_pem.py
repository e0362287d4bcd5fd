"""Which certificates go to a proxy: those that the real Envoy takes (`tests/kernel/xds/test_odd_objects_on_envoy.py`)."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from nastycertificates import pairs, roots

from sampan.gateway import pem

REFUSED = {
    **dict.fromkeys(("rsa-1024", "rsa-2040", "p-224", "secp256k1", "ed448", "dsa"), "cannot be used"),
    "must-staple": "OCSP",
    "only signs": "key usage",
    **dict.fromkeys(("nameless", "for a mailbox"), "for nobody"),
    **dict.fromkeys(("broken behind", "no end", "blank", "trusted", "der"), "not a certificate in PEM"),
    **dict.fromkeys(("of another", "another first"), "does not belong"),
    **dict.fromkeys(("locked key", "locked key of old form", "public key"), "not a private key"),
    "empty": "no tls.crt",
    "no key": "no tls.key",
}


@pytest.mark.parametrize("what", pairs())
def test_pairs(what: str) -> None:
    data = dict(zip(("tls.crt", "tls.key"), (base64.b64encode(part).decode() for part in pairs()[what]), strict=True))
    if what in REFUSED:
        with pytest.raises(pem.Unusable, match=REFUSED[what]):
            pem.pair({"data": data})
        return
    chain, key = pem.pair({"data": data})
    assert chain.startswith(b"-----BEGIN CERTIFICATE-----\n")
    assert key.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    # What editors put around the lines is gone: written once more, it stays as it is.
    again = {"tls.crt": base64.b64encode(chain).decode(), "tls.key": base64.b64encode(key).decode()}
    assert pem.pair({"data": again}) == (chain, key)


NO_ROOTS = ("broken behind", "no end", "empty", "blank", "trusted", "der", "only revocations", "broken second")


@pytest.mark.parametrize("what", roots())
def test_roots(what: str) -> None:
    text = roots()[what]
    if what in NO_ROOTS or what == "broken revocations":
        with pytest.raises(pem.Unusable):
            pem.roots(text)
        return
    made = pem.roots(text)
    assert len(x509.load_pem_x509_certificates(made)) == made.count(b"BEGIN CERTIFICATE")
    assert made.count(b"BEGIN X509 CRL") == text.count(b"BEGIN X509 CRL")


def test_what_is_not_there_and_what_is_no_base64() -> None:
    with pytest.raises(pem.Unusable, match=r"no tls\.crt"):
        pem.pair({})
    with pytest.raises(pem.Unusable, match="not base64"):
        pem.entry({"data": {"a": "abc"}}, "a")
    with pytest.raises(pem.Unusable, match=r"no ca\.crt"):
        pem.roots_of({})


def test_names() -> None:
    chain, _ = pairs()["p-256"]
    assert pem.names(chain) == ["odd.example"]
    assert pem.names(pairs()["no names"][0]) == []
