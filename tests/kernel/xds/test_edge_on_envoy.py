"""What every request meets: HTTP versions, hardening, streams that must work, changes that must not hurt.

Goal 6 and 7 of the edge: what people need goes through, what attackers need does not.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
from dataclasses import replace
from pathlib import Path

import golden
import h2.config
import h2.connection
import h2.events
import pytest
from envoylab import EnvoyLab, anybody

from sampan import ir
from sampan.base.netns import inside
from sampan.xds.build import Builder
from sampan.xds.types import LISTENER

URL = "http://h:10080"


def routed(cluster: str, **more: object) -> ir.Route:
    return ir.Route("r", ir.Match(), ir.Forward((ir.Target(cluster),), **more))  # type: ignore[arg-type]


def configuration() -> ir.Proxy:
    chain, key = golden.pair(("h.example.com",))
    hosts = (ir.VirtualHost("any", ("*",), (routed("one"),)),)
    tls = ir.ListenerTls(("cert",))
    members = (ir.Endpoint("127.1.0.1", 8080), ir.Endpoint("127.1.0.2", 8080))
    return ir.Proxy(
        listeners={
            "http": ir.Listener("http", 10080, (ir.SniChain("all", ir.Http("t")),)),
            "https": ir.Listener("https", 10443, (ir.SniChain("all", ir.Http("t"), (), tls),)),
        },
        tables={"t": ir.RouteTable("t", hosts)},
        clusters={"one": ir.Cluster("one", endpoints="one", service="default/one")},
        endpoints={"one": ir.Endpoints("one", members)},
        secrets={"cert": ir.Secret("cert", chain, key)},
    )


@pytest.fixture
def lab(envoy: EnvoyLab) -> EnvoyLab:
    assert envoy.push(Builder().build(configuration())) == {}
    envoy.wait_until_ready()
    return envoy


def raw(lab: EnvoyLab, request: bytes, port: int = 10080) -> bytes:
    """All that comes back until the proxy closes or is silent."""
    with lab.connect(port) as client:
        client.settimeout(2)
        client.sendall(request)
        answer = b""
        try:
            while data := client.recv(65536):
                answer += data
        except (TimeoutError, ConnectionResetError):
            pass
        return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        # Two lengths, or a length beside chunks: where the next request begins is a matter of opinion.
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n X-Folded: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX-Null: a\0b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX-Large: " + b"x" * 62_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(250)) + b"\r\n", 431),
    ],
)
def test_what_could_smuggle_is_refused(lab: EnvoyLab, request_: bytes, wanted: int) -> None:
    answer = raw(lab, request_)
    assert status(answer) == wanted
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("path", "seen"),
    [("/a/../b", "/b"), ("/a/./b", "/a/b"), ("/a//b", "/a/b"), ("/a/%2e%2e/b", "/b"), ("/../../x", "/x")],
)
def test_paths_are_normal_when_routes_see_them(lab: EnvoyLab, path: str, seen: str) -> None:
    assert lab.request(f"{URL}{path}").seen["path"] == seen


@pytest.mark.parametrize("path", ["/a%2fb", "/a%2Fb", "/a%5cb"])
def test_escaped_slashes_are_unescaped_by_a_redirect(lab: EnvoyLab, path: str) -> None:
    answer = lab.request(f"{URL}{path}")
    assert (answer.status, answer.headers["location"]) == (
        307,
        "/a/b" if "5c" not in path else "/a\\b".replace("\\", "/"),
    )


def test_headers_with_underscores_are_dropped(lab: EnvoyLab) -> None:
    seen = lab.request(URL, headers={"X_Forwarded_For": "1.2.3.4", "x-fine": "1"}).seen["headers"]
    assert "x_forwarded_for" not in seen
    assert seen["x-fine"] == "1"


def test_http_1_0(lab: EnvoyLab) -> None:
    answer = raw(lab, b"GET / HTTP/1.0\r\n\r\n")
    assert status(answer) == 200
    assert b"transfer-encoding" not in answer.lower()


def test_large_bodies_stream_both_ways(lab: EnvoyLab) -> None:
    """100 MB up, hashed by the upstream, through buffers of 32 KiB."""
    block = bytes(range(256)) * 4096
    digest = hashlib.sha256()
    with lab.connect(10080) as client:
        client.sendall(
            b"POST /digest HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (100 * len(block))
        )
        for _ in range(100):
            client.sendall(block)
            digest.update(block)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert digest.hexdigest().encode() in answer
    with lab.connect(10080) as client:
        client.sendall(b"GET /download/100 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        size = sum(map(len, iter(lambda: client.recv(1 << 20), b"")))
    assert size > 100 * len(block)


def test_a_slow_client_is_served(lab: EnvoyLab) -> None:
    with lab.connect(10080) as client:
        for piece in (b"POST /x HT", b"TP/1.1\r\nHost: h\r\nContent-", b"Length: 4\r\n\r\n", b"bo", b"dy"):
            client.sendall(piece)
            time.sleep(0.3)
        assert status(client.recv(65536)) == 200


def test_websocket(lab: EnvoyLab) -> None:
    with lab.connect(10080) as client:
        client.sendall(
            b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert client.recv(65536).startswith(b"HTTP/1.1 101 ")
        client.sendall(b"ping")
        assert client.recv(65536) == b"ping"


def test_an_upgrade_that_the_route_does_not_allow(lab: EnvoyLab) -> None:
    answer = lab.request(
        URL, headers={"connection": "Upgrade", "upgrade": "h2c"}
    )  # HTTP/2 has its own ways: no upgrade
    assert "upgrade" not in answer.seen["headers"]
    assert lab.request(URL, headers={"connection": "Upgrade", "upgrade": "other"}).status == 403


def test_server_sent_events_come_one_by_one(lab: EnvoyLab) -> None:
    with lab.connect(10080) as client:
        client.sendall(b"GET /sse HTTP/1.1\r\nHost: h\r\n\r\n")
        arrived = []
        text = b""
        while b"data: 3" not in text:
            text += client.recv(65536)
            arrived.append(time.monotonic())
    assert len(arrived) >= 3
    assert arrived[-1] - arrived[0] > 0.1


def mutual(lab: EnvoyLab, tls: ir.ListenerTls, certificate: tuple[bytes, bytes] | None, folder: Path) -> int:
    """The status of a request with this client certificate; 0 when the connection was refused."""
    now = configuration()
    trusted, _ = golden.pair(("client.example.com",), ca=True)
    secrets = {**now.secrets, "ca": ir.Secret("ca", roots=trusted)}
    listener = ir.Listener("https", 10443, (ir.SniChain("all", ir.Http("t"), (), tls),))
    assert lab.push(Builder().build(replace(now, listeners={"https": listener}, secrets=secrets))) == {}
    context = anybody()
    if certificate:
        (folder / "pair.pem").write_bytes(b"".join(certificate))
        context.load_cert_chain(folder / "pair.pem")
    try:
        with context.wrap_socket(lab.connect(10443), server_hostname="h") as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            answer = client.recv(65536)
            return status(answer) if answer else 0
    except (ssl.SSLError, ConnectionResetError):
        return 0


def test_client_certificates(lab: EnvoyLab, tmp_path: Path) -> None:
    known, unknown = golden.pair(("client.example.com",), ca=True), golden.pair(("stranger.example.com",))
    required = ir.ListenerTls(("cert",), client_ca="ca")
    assert [mutual(lab, required, one, tmp_path) for one in (known, unknown, None)] == [200, 0, 0]
    optional = replace(required, client_required=False)
    assert [mutual(lab, optional, one, tmp_path) for one in (known, unknown, None)] == [200, 0, 200]
    insecure = replace(required, client_insecure=True)
    assert [mutual(lab, insecure, one, tmp_path) for one in (known, unknown, None)] == [200, 200, 200]
    nobody = replace(required, client_ca="missing")
    assert [mutual(lab, nobody, one, tmp_path) for one in (known, None)] == [0, 0]


def http2(lab: EnvoyLab, port: int, tls: bool) -> tuple[int, str]:
    """The status of GET / and what ALPN agreed on."""
    client = lab.connect(port)
    agreed = ""
    if tls:
        context = anybody()
        context.set_alpn_protocols(["h2", "http/1.1"])
        client = context.wrap_socket(client, server_hostname="h.example.com")
        agreed = client.selected_alpn_protocol() or ""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    headers = [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", "h.example.com")]
    connection.send_headers(1, headers, end_stream=True)
    with client:
        client.sendall(connection.data_to_send())
        while data := client.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    return int(dict(event.headers or [])[":status"]), agreed
    raise AssertionError("no answer")


def test_http2_by_alpn_and_by_prior_knowledge(lab: EnvoyLab) -> None:
    assert http2(lab, 10443, tls=True) == (200, "h2")
    assert http2(lab, 10080, tls=False) == (200, "")


def test_endpoints_change_alone(lab: EnvoyLab) -> None:
    """Gone ones get nothing from the moment Envoy has acknowledged; no other resource is touched."""
    builder = Builder()
    before = builder.build(configuration())
    lab.push(before)
    after = builder.update_endpoints({"one": ir.Endpoints("one", (ir.Endpoint("127.1.0.2", 8080),))})
    lab.push(after)
    assert {lab.request(URL).seen["ip"] for _ in range(10)} == {"127.1.0.2"}
    lab.push(builder.update_endpoints({"one": None}))
    assert lab.request(URL).body == "no endpoints: Service default/one has no ready endpoints\n"
    assert after.of(LISTENER) == before.of(LISTENER)


def test_members_that_drain_get_nothing_while_others_are_there(lab: EnvoyLab) -> None:
    builder = Builder()
    builder.build(configuration())
    gone = ir.Endpoint("127.1.0.1", 8080, draining=True)
    for others, wanted in (((ir.Endpoint("127.1.0.2", 8080),), {"127.1.0.2"}), ((), {"127.1.0.1"})):
        lab.push(builder.update_endpoints({"one": ir.Endpoints("one", (gone, *others))}))
        assert {lab.request(URL).seen["ip"] for _ in range(10)} == wanted
    many = tuple(replace(gone, ip=f"127.1.0.{n}") for n in range(1, 9))
    lab.push(builder.update_endpoints({"one": ir.Endpoints("one", (*many, ir.Endpoint("127.1.0.9", 8080)))}))
    assert {lab.request(URL).seen["ip"] for _ in range(10)} == {"127.1.0.9"}


def test_routes_change_under_an_open_connection(lab: EnvoyLab) -> None:
    """No new listener, so nothing is drained: the WebSocket stays."""
    builder = Builder()
    lab.push(builder.build(configuration()))
    with lab.connect(10080) as client:
        client.sendall(b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 101 ")
        now = configuration()
        hosts = (ir.VirtualHost("any", ("*",), (ir.Route("r", ir.Match(), ir.Respond(418)),)),)
        lab.push(builder.build(replace(now, tables={"t": ir.RouteTable("t", hosts)})))
        assert lab.request(URL).status == 418
        client.sendall(b"still")
        assert client.recv(65536) == b"still"


def test_a_certificate_changes_under_an_open_connection(lab: EnvoyLab) -> None:
    builder = Builder()
    lab.push(builder.build(configuration()))
    context = anybody()

    def connect() -> ssl.SSLSocket:
        return context.wrap_socket(lab.connect(10443), server_hostname="h.example.com")

    with connect() as old:
        before = old.getpeercert(binary_form=True)
        chain, key = golden.pair(("renewed.example.com",))
        lab.push(builder.build(replace(configuration(), secrets={"cert": ir.Secret("cert", chain, key)})))
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with connect() as new:
                if new.getpeercert(binary_form=True) != before:
                    break
        else:
            raise AssertionError("the old certificate is still served")
        old.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert status(old.recv(65536)) == 200


@pytest.mark.parametrize("port", [10054, 10053])
def test_udp(lab: EnvoyLab, port: int) -> None:
    """A session stays with its endpoint; sessions are shared by weight."""
    targets = {10053: (ir.Weighted("one"),), 10054: (ir.Weighted("one", 1), ir.Weighted("two", 3))}[port]
    listener = ir.Listener("udp", port, (ir.SniChain("all", ir.Tcp(targets, 30)),), ir.Protocol.UDP)
    endpoints = {
        name: ir.Endpoints(name, (ir.Endpoint(ip, 8053),)) for name, ip in (("one", "127.1.0.1"), ("two", "127.1.0.2"))
    }
    clusters = {name: ir.Cluster(name, endpoints=name) for name in endpoints}
    assert lab.push(Builder().build(ir.Proxy({"udp": listener}, {}, clusters, endpoints))) == {}
    answers = []
    for _ in range(40):
        with inside(lab.netns):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with client:
            client.settimeout(5)
            client.connect(("127.0.0.1", port))
            seen = set()
            for _ in range(3):
                client.send(b"?")
                seen.add(client.recv(100))
            assert len(seen) == 1
            answers.append(seen.pop())
    second = answers.count(b"127.1.0.2")
    assert second == 0 if port == 10053 else 20 <= second <= 38


def test_tcp_without_anybody_is_closed(lab: EnvoyLab) -> None:
    listener = ir.Listener("tcp", 10306, (ir.SniChain("all", ir.Tcp(())),))
    assert lab.push(Builder().build(ir.Proxy({"tcp": listener}))) == {}
    with lab.connect(10306) as client:
        assert client.recv(1) == b""


def test_health_and_metrics_are_all_that_the_health_port_shows(lab: EnvoyLab) -> None:
    assert lab.request("http://p:15021/healthz/ready").status == 200
    assert "envoy_server_live{} 1" in lab.request("http://p:15021/stats/prometheus").body
    assert lab.request("http://p:15021/quitquitquit", "POST").status == 404
    assert lab.request("http://p:15021/config_dump").status == 404
