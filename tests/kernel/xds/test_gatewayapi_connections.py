"""Gateway API below HTTP, on the real Envoy: streams and datagrams, TLS at both ends, shares of traffic."""

from __future__ import annotations

import collections
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gatewaycases
import golden
import pytest
from envoylab import UDP_PORT, UPSTREAM_PORT, EnvoyLab, anybody
from gatewaylab import addresses

from sampan.base.netns import inside
from sampan.gateway.gatewayapi import translate
from sampan.gateway.types import Resources
from sampan.ir import Endpoint, Endpoints, Proxy
from sampan.xds.build import Builder

TLS_PORT, SCRIPT_PORT = 9443, 9080


def configured(lab: EnvoyLab, *entries: dict[str, Any], port: int = UPSTREAM_PORT) -> Resources:
    """`port`: where the endpoints of all Services listen."""
    resources = gatewaycases.made(list(entries))
    result = translate(resources)
    members = {name: Endpoints(name, (Endpoint(ip, port),)) for name, ip in addresses(result).items()}
    if lab.ads.snapshot.resources:
        lab.push(Builder().build(Proxy()))
    proxy = Proxy(result.listeners, result.tables, result.clusters, members, result.secrets)
    assert lab.push(Builder().build(proxy)) == {}
    lab.wait_until_ready()
    return resources


def inner(resources: Resources, port: int) -> int:
    return next(inner for (_, number), inner in resources.ports.items() if number == port)


def gateway(*listeners: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"kind": "Gateway", "name": "front", "listeners": list(listeners), **spec}


def service(name: str, port: int = 80, **more: Any) -> dict[str, Any]:
    return {"kind": "Service", "name": name, "ports": [{"port": port, **more}]}


def backends(*names: str, port: int = 80) -> dict[str, Any]:
    return {"backendRefs": [{"name": name, "port": port} for name in names]}


def config(name: str, host: str) -> dict[str, Any]:
    """A ConfigMap that trusts the certificate of the host."""
    return {"kind": "ConfigMap", "name": name, "data": {"ca.crt": golden.pair((host,), ca=False)[0].decode()}}


def files(folder: Path, host: str) -> tuple[str, str]:
    chain, key = golden.pair((host,), ca=False)
    paths = folder / f"{host}.crt", folder / f"{host}.key"
    paths[0].write_bytes(chain)
    paths[1].write_bytes(key)
    return str(paths[0]), str(paths[1])


@contextmanager
def tls_upstream(lab: EnvoyLab, host: str, client_ca: str = "") -> Iterator[None]:
    """Answers HTTP with the server name and the client's certificate that it saw, whoever of 127.1.0.0/16 is asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files(lab.folder, host))
    names: dict[int, str] = {}
    context.sni_callback = lambda connection, name, _: names.__setitem__(id(connection), name or "")
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    with inside(lab.netns):
        listening = socket.create_server(("0.0.0.0", TLS_PORT))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(65536)
                shown = secure.getpeercert() or {}
                subject = [value for parts in shown.get("subject", ()) for _, value in parts]
                body = f"{names.get(id(secure), '?')} {','.join(map(str, subject))}".encode()
                secure.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        except OSError:
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        listening.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        listening.close()


@contextmanager
def scripted_upstream(lab: EnvoyLab, *script: str) -> Iterator[list[str]]:
    """Does to each request what the script says next: a status, "reset", or "slow" (no answer). Yields what it has done."""
    done: list[str] = []
    held: list[socket.socket] = []
    with inside(lab.netns):
        listening = socket.create_server(("0.0.0.0", SCRIPT_PORT))

    def serve() -> None:
        for act in script:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                done.append(act)
                if act == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    continue
                if act == "slow":
                    held.append(connection.dup())
                    continue
                connection.sendall(f"HTTP/1.1 {act} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield done
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        for one in (listening, *held):
            one.close()


def https(lab: EnvoyLab, port: int, name: str, certificate: tuple[str, str] | None = None, trust: str = "") -> bytes:
    """What is answered to one request over TLS."""
    context = anybody()
    if trust:
        context.load_verify_locations(trust)
        context.check_hostname, context.verify_mode = True, ssl.CERT_REQUIRED
    if certificate:
        context.load_cert_chain(*certificate)
    with context.wrap_socket(lab.connect(port), server_hostname=name) as secure:
        secure.sendall(f"GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n".encode())
        answer = b""
        while data := secure.recv(65536):
            answer += data
        return answer


def test_tcp_goes_to_the_services_by_weight_and_nobody_is_closed(envoy: EnvoyLab) -> None:
    weighted = {
        "backendRefs": [{"name": n, "port": 80, "weight": w} for n, w in (("one", 50), ("two", 30), ("gone", 20))]
    }
    resources = configured(
        envoy,
        service("one"),
        service("two"),
        gateway({"name": "tcp", "port": 9000, "protocol": "TCP"}, {"name": "lonely", "port": 9001, "protocol": "TCP"}),
        {"kind": "TCPRoute", "name": "r", "to": [{"name": "front", "sectionName": "tcp"}], "rules": [weighted]},
    )
    seen: collections.Counter[str] = collections.Counter()
    for _ in range(300):
        try:
            seen[envoy.request(f"http://h:{inner(resources, 9000)}/").seen["ip"]] += 1
        except ConnectionError:
            seen["closed"] += 1
    assert 110 < seen["127.1.0.1"] < 190, seen
    assert 55 < seen["127.1.0.2"] < 125, seen
    assert 30 < seen["closed"] < 95, seen
    with pytest.raises(ConnectionError):
        envoy.request(f"http://h:{inner(resources, 9001)}/")


def test_udp(envoy: EnvoyLab) -> None:
    resources = configured(
        envoy,
        service("dns", protocol="UDP"),
        gateway({"name": "udp", "port": 53, "protocol": "UDP"}),
        {"kind": "UDPRoute", "name": "r", "to": ["front"], "rules": [backends("dns")]},
        port=UDP_PORT,
    )
    with inside(envoy.netns):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.settimeout(5)
        client.sendto(b"hello", ("127.0.0.1", inner(resources, 53)))
        assert client.recv(1000) == b"127.1.0.1"


def test_tls_is_passed_on_or_ends_here_by_server_name(envoy: EnvoyLab) -> None:
    listener = {
        "name": "pass",
        "port": 443,
        "protocol": "TLS",
        "hostname": "*.example.com",
        "tls": {"mode": "Passthrough"},
    }
    resources = configured(
        envoy,
        service("secure"),
        gateway(listener),
        {
            "kind": "TLSRoute",
            "name": "r",
            "to": ["front"],
            "hostnames": ["a.example.com"],
            "rules": [backends("secure")],
        },
        port=TLS_PORT,
    )
    with tls_upstream(envoy, "a.example.com"):
        trust = files(envoy.folder, "a.example.com")[0]
        assert b"a.example.com" in https(envoy, inner(resources, 443), "a.example.com", trust=trust)
    for name in ("b.example.com", "a.example.org"):
        with pytest.raises(OSError):
            https(envoy, inner(resources, 443), name)
    ends = {
        "name": "ends",
        "port": 443,
        "protocol": "TLS",
        "hostname": "db.example.com",
        "tls": {"mode": "Terminate", "certificateRefs": [{"name": "db"}]},
    }
    resources = configured(
        envoy,
        service("plain"),
        {"kind": "Secret", "name": "db", "tls": "db.example.com"},
        gateway(ends),
        {
            "kind": "TLSRoute",
            "name": "r",
            "to": ["front"],
            "hostnames": ["db.example.com"],
            "rules": [backends("plain")],
        },
    )
    trust = files(envoy.folder, "db.example.com")[0]
    assert b'"host": "db.example.com"' in https(envoy, inner(resources, 443), "db.example.com", trust=trust)


@pytest.mark.parametrize("mode", ["AllowValidOnly", "AllowInsecureFallback"])
def test_clients_show_certificates(envoy: EnvoyLab, mode: str) -> None:
    validation = {"mode": mode, "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "clients"}]}
    resources = configured(
        envoy,
        service("web"),
        config("clients", "client.example"),
        {"kind": "Secret", "name": "cert", "tls": "web.example"},
        gateway(
            {"name": "https", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "cert"}]}},
            tls={"frontend": {"default": {"validation": validation}}},
        ),
        {"kind": "HTTPRoute", "name": "r", "to": ["front"], "rules": [backends("web")]},
    )
    port = inner(resources, 443)
    good, bad = files(envoy.folder, "client.example"), files(envoy.folder, "stranger.example")
    assert b"200 OK" in https(envoy, port, "web.example", good)
    for certificate in (bad, None):
        if mode == "AllowInsecureFallback":
            assert b"200 OK" in https(envoy, port, "web.example", certificate)
        else:
            with pytest.raises(OSError):
                https(envoy, port, "web.example", certificate)


POLICY = {
    "kind": "BackendTLSPolicy",
    "name": "p",
    "targetRefs": [{"group": "", "kind": "Service", "name": "secure"}],
}


@pytest.mark.parametrize(
    ("validation", "status"),
    [
        ({"hostname": "secure.example"}, 200),
        ({"hostname": "other.example"}, 503),
        ({"hostname": "other.example", "subjectAltNames": [{"type": "Hostname", "hostname": "secure.example"}]}, 200),
        ({"hostname": "secure.example", "subjectAltNames": [{"type": "Hostname", "hostname": "no.example"}]}, 503),
    ],
)
def test_backends_are_whom_the_policy_says(envoy: EnvoyLab, validation: dict[str, Any], status: int) -> None:
    roots = {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "roots"}]}
    certificate = {"backend": {"clientCertificateRef": {"name": "me"}}}
    resources = configured(
        envoy,
        service("secure"),
        config("roots", "secure.example"),
        {"kind": "Secret", "name": "me", "tls": "gateway.example"},
        POLICY | {"validation": validation | roots},
        gateway({"name": "http", "port": 80, "protocol": "HTTP"}, tls=certificate),
        {"kind": "HTTPRoute", "name": "r", "to": ["front"], "rules": [backends("secure")]},
        port=TLS_PORT,
    )
    with tls_upstream(envoy, "secure.example", client_ca=files(envoy.folder, "gateway.example")[0]):
        answer = envoy.request(f"http://a:{inner(resources, 80)}/")
    assert answer.status == status, answer
    if status == 200:
        assert answer.body == f"{validation['hostname']} gateway.example"


def test_backends_that_are_not_trusted_at_all_get_nothing(envoy: EnvoyLab) -> None:
    system = {"validation": {"hostname": "secure.example", "wellKnownCACertificates": "System"}}
    resources = configured(
        envoy,
        service("secure"),
        POLICY | system,
        gateway({"name": "http", "port": 80, "protocol": "HTTP"}),
        {"kind": "HTTPRoute", "name": "r", "to": ["front"], "rules": [backends("secure")]},
        port=TLS_PORT,
    )
    with tls_upstream(envoy, "secure.example"):
        assert envoy.request(f"http://a:{inner(resources, 80)}/").status == 503


def test_shares_of_requests_with_backends_that_have_filters_and_nobodys_too(envoy: EnvoyLab) -> None:
    def ref(name: str, weight: int, host: str = "") -> dict[str, Any]:
        rewrite = [{"type": "URLRewrite", "urlRewrite": {"hostname": host}}] if host else []
        return {"name": name, "port": 80, "weight": weight, "filters": rewrite}

    mixed = {"backendRefs": [ref("one", 50, "one.example"), ref("gone", 20), ref("two", 30)]}
    resources = configured(
        envoy,
        service("one"),
        service("two"),
        gateway({"name": "http", "port": 80, "protocol": "HTTP"}),
        {"kind": "HTTPRoute", "name": "r", "to": ["front"], "rules": [mixed]},
    )
    seen: collections.Counter[str] = collections.Counter()
    for _ in range(300):
        answer = envoy.request(f"http://a:{inner(resources, 80)}/")
        seen[answer.seen["host"].partition(":")[0] if answer.status == 200 else str(answer.status)] += 1
    assert set(seen) == {"one.example", "a", "500"}
    assert 110 < seen["one.example"] < 190, seen
    assert 30 < seen["500"] < 95, seen
    assert 55 < seen["a"] < 130, seen


def test_plain_weights_and_nobodys_share(envoy: EnvoyLab) -> None:
    rule = {"backendRefs": [{"name": "one", "port": 80, "weight": 3}, {"name": "gone", "port": 80, "weight": 1}]}
    resources = configured(
        envoy,
        service("one"),
        gateway({"name": "http", "port": 80, "protocol": "HTTP"}),
        {"kind": "HTTPRoute", "name": "r", "to": ["front"], "rules": [rule]},
    )
    seen = collections.Counter(envoy.request(f"http://a:{inner(resources, 80)}/").status for _ in range(200))
    assert set(seen) == {200, 500}
    assert 22 < seen[500] < 85, seen


@pytest.mark.parametrize(
    ("rule", "script", "status"),
    [
        ({"retry": {"codes": [503], "attempts": 2}}, ["503", "503", "200"], 200),
        ({"retry": {"codes": [503], "attempts": 1}}, ["503", "503"], 503),
        ({"retry": {"codes": [500], "attempts": 3}}, ["503"], 503),
        ({"retry": {"attempts": 2}}, ["reset", "reset", "200"], 200),
        ({"retry": {"attempts": 1}, "timeouts": {"backendRequest": "300ms"}}, ["slow", "200"], 200),
        ({"timeouts": {"backendRequest": "300ms"}}, ["slow"], 504),
        ({"timeouts": {"request": "300ms"}}, ["slow"], 504),
        ({}, ["503"], 503),
    ],
)
def test_retries_and_timeouts(envoy: EnvoyLab, rule: dict[str, Any], script: list[str], status: int) -> None:
    resources = configured(
        envoy,
        service("one"),
        gateway({"name": "http", "port": 80, "protocol": "HTTP"}),
        {"kind": "HTTPRoute", "name": "r", "to": ["front"], "rules": [rule | backends("one")]},
        port=SCRIPT_PORT,
    )
    with scripted_upstream(envoy, *script) as done:
        answer = envoy.request(f"http://a:{inner(resources, 80)}/")
        assert (answer.status, done) == (status, script)
