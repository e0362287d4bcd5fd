"""Every golden case of Ingresses is pushed to one real Envoy, and its requests are made."""

from __future__ import annotations

import http.client
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import golden
import ingresscases
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from envoylab import Answer, EnvoyLab, anybody, faults
from gatewaylab import push, wrong
from golden import Case, Request

from sampan.gateway.ingress import translate

CASES = golden.cases("ingress")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_envoy_does_what_the_case_says(lab: EnvoyLab, case: Case) -> None:
    result = push(lab, translate(ingresscases.resources(case)))
    found = faults(case, lambda request: ask(lab, request), lambda request, answer: wrong(request, answer, result))
    assert found == {}


def ask(lab: EnvoyLab, request: Request) -> Answer:
    """The scheme says which listener; a port in the URL is the client's affair."""
    parts = urlsplit(request.url)
    port = ingresscases.HTTPS if parts.scheme == "https" else ingresscases.HTTP
    url = parts._replace(netloc=f"{parts.hostname}:{port}").geturl()
    headers = {"host": parts.netloc, **request.headers}
    return lab.request(url, request.method, headers, request.body.encode() or None)


def _case(name: str) -> Case:
    return next(case for case in CASES if str(case) == name)


def test_clients_of_a_host_with_auth_tls_need_a_certificate(lab: EnvoyLab, tmp_path: Path) -> None:
    push(lab, translate(ingresscases.resources(_case("annotations-access"))))
    pem = tmp_path / "client.pem"
    pem.write_bytes(_client_certificate())
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _secure(lab, "mtls.x", None)
    seen = _secure(lab, "mtls.x", pem)["headers"]
    assert seen["ssl-client-verify"] == "SUCCESS"
    assert seen["ssl-client-subject-dn"] == "CN=bob"
    assert seen["ssl-client-cert"].startswith("-----BEGIN%20CERTIFICATE-----")
    # Another name in the handshake is no way around it.
    assert lab.request(f"https://x:{ingresscases.HTTPS}/", headers={"host": "mtls.x"}, sni="basic.x").status == 421
    seen = _secure(lab, "optional.x", None)["headers"]  # what a client says of itself does not count
    assert not [name for name in seen if name.startswith("ssl-client")]
    assert _secure(lab, "optional.x", pem)["headers"]["ssl-client-subject-dn"] == "CN=bob"
    assert not [name for name in _secure(lab, "basic.x", pem, auth=True)["headers"] if name.startswith("ssl-client")]


def test_who_is_asked_for_permission_is_told_the_clients_address_not_what_the_client_says(lab: EnvoyLab) -> None:
    asks = {"auth-url": "http://auth.default.svc.cluster.local:8080/auth"}
    services: list[dict[str, Any]] = [{"kind": "Service", "name": "web"}]
    services.append({"kind": "Service", "name": "auth", "ports": [8080]})
    ingress = {"kind": "Ingress", "name": "asked", "annotations": asks, "rules": ["asked.x / Prefix web:80"]}
    push(lab, translate(ingresscases.made([*services, ingress])))
    url, forged = f"http://x:{ingresscases.HTTP}/", {"x-forwarded-for": "203.0.113.9", "x-real-ip": "203.0.113.9"}
    refused = lab.request(url, headers={"host": "asked.x", **forged})
    assert refused.status == 401
    assert {name: refused.seen["headers"][name] for name in forged} == dict.fromkeys(forged, "127.0.0.1")


def test_passthrough_leaves_the_bytes_alone(lab: EnvoyLab) -> None:
    """The lab's upstream speaks no TLS: what comes through is its complaint about a ClientHello, not Envoy's TLS."""
    push(lab, translate(ingresscases.resources(_case("annotations-backend"))))
    with pytest.raises(ssl.SSLError, match=r"(?i)wrong.version|http.request|record"):
        _secure(lab, "through.x", None)


def _secure(lab: EnvoyLab, host: str, client: Path | None, *, auth: bool = False) -> dict[str, Any]:
    context = anybody()
    if client:
        context.load_cert_chain(client)
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.sock = context.wrap_socket(lab.connect(ingresscases.HTTPS), server_hostname=host)
    headers = {"ssl-client-subject-dn": "CN=root", "ssl-client-verify": "SUCCESS"}
    if auth:
        headers = {"Authorization": "Basic YmFyOnBhc3N3b3Jk"}
    connection.request("GET", "/", headers=headers)
    answer = Answer(connection.getresponse())
    assert answer.status == 200, answer
    return answer.seen


def _client_certificate() -> bytes:
    """A key and a certificate for bob, of the authority in the case."""
    chain, authority = golden.pair(("clients",), ca=True)
    issuer = x509.load_pem_x509_certificate(chain)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bob")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer.subject, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    signing = serialization.load_pem_private_key(authority, None)
    made = builder.sign(signing, hashes.SHA256())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form) + made.public_bytes(serialization.Encoding.PEM)
