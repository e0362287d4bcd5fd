"""What enters from outside, through the real Envoy: the articles' Ingresses, protocols, hardening, broken neighbours."""

import asyncio
import collections
import hashlib
import json
import os
import re
import socket
import sys
import time

import edge
import pytest
from e2e import Load, command, until


@pytest.fixture(scope="module")
def site():
    cluster = edge.start("edge", nodes=2)
    try:
        cluster.apply(edge.backend("web", replicas=2, grpc=True))
        cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        cluster.apply(edge.ingress("web", "web.example.com", "web", {"proxy-read-timeout": "30"}))
        cluster.address = edge.address(cluster)
        until(
            lambda: edge.curl(f"http://{cluster.address}/", host="web.example.com", check=False).status == 200,
            "it serves",
        )
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture
def url(site):
    return f"http://{site.address}"


def serves(url, host, path="/", status=200):
    return until(
        lambda: (a := edge.curl(url + path, host=host, check=False)).status == status and a, f"{host}{path}: {status}"
    )


# ── the articles ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_gin_articles_ingress_word_for_word(site, url):
    for file in ("gin-demo.yaml", "gin-demo-service.yaml", "gin-demo-ingress.yaml"):
        site.kubectl("apply", "-f", str(edge.GIN / file))
    site.kubectl("rollout", "status", "deployment/gin-demo", "--timeout=60s")
    serves(url, "", "/api/v1/ping")
    lines = until(
        lambda: (t := site.kubectl("get", "ingresses", "gateway").splitlines()) and site.address in t[1] and t,
        "the Ingress has its address",
    )
    assert lines[0].split() == ["NAME", "CLASS", "HOSTS", "ADDRESS", "PORTS", "AGE"]
    assert lines[1].split()[:5] == ["gateway", "<none>", "*", site.address, "80"]
    described = site.kubectl("describe", "ingresses", "gateway")
    assert re.search(r"^Ingress Class: +<none>$", described, re.MULTILINE)
    assert re.search(r"^Default backend: +<default>$", described, re.MULTILINE)
    pods = site.jsonpath("{.items[*].status.podIP}", "pods", "-l", "app=gin-demo").split()
    assert len(pods) == 3
    line = next(line for line in described.splitlines() if "/api/v1" in line)
    assert re.search(r"/api/v1\(/\|\$\)\(\.\*\) +gin-demo:http \(", line)
    assert all(f"{ip}:8080" in line for ip in pods)
    assert "kubernetes.io/ingress.class: nginx" in described
    assert "nginx.ingress.kubernetes.io/rewrite-target: /$2" in described
    assert re.search(r"Normal +Sync .* nginx-ingress-controller +Scheduled for sync", described)
    said = [json.loads(edge.curl(f"{url}/api/v1/ping").body)["message"] for _ in range(40)]
    assert all(re.fullmatch(r"\w{3} \w{3} [ \d]\d [\d:]{8} UTC \d{4}\n pong at gin-demo-[\w-]+\n", one) for one in said)
    assert len({one.split()[-1] for one in said}) == 3, "all pods take turns"
    site.kubectl("delete", "ingress", "gateway")
    serves(url, "", "/api/v1/ping", 404)


def test_two_hosts_and_nginxs_404_for_any_other(site, url):
    for number in (1, 2):
        site.apply(edge.backend(f"service{number}"))
        site.apply(edge.ingress(f"two-{number}", f"www.service{number}.io", f"service{number}"))
    for number in (1, 2):
        answer = serves(url, f"www.service{number}.io", "/ping")
        assert answer.json["hostname"].startswith(f"service{number}-")
        assert answer.json["host"] == f"www.service{number}.io"
    other = edge.curl(f"{url}/ping", host="www.service3.io")
    assert other.status == 404
    assert "<center><h1>404 Not Found</h1></center>" in other.body
    assert "nginx" in other.body


def test_the_gateway_answers_on_this_machines_own_port(site, url):
    serves(url, "web.example.com")
    http, _ = json.loads((site.directory / "cluster.json").read_text())["edgePorts"]
    assert http
    answer = until(
        lambda: (
            (a := edge.curl(f"http://127.0.0.1:{http}/ping", host="web.example.com", check=False)).status == 200 and a
        ),
        "localhost answers",
    )
    assert answer.json["path"] == "/ping"


# ── protocols ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_websocket(url):
    from aiohttp import ClientSession

    async def talk():
        async with (
            ClientSession() as session,
            session.ws_connect(f"{url}/ws", headers={"host": "web.example.com"}) as ws,
        ):
            said = []
            for number in range(3):
                await ws.send_str(f"hello {number}")
                said.append(await ws.receive_str(timeout=5))
            return said

    said = asyncio.run(talk())
    assert [line.partition(": ")[2] for line in said] == ["hello 0", "hello 1", "hello 2"]
    assert len({line.partition(": ")[0] for line in said}) == 1


# In processes of their own: threads of gRPC that another test began in a network namespace would ask from there.
ASK_GRPC = """
import sys, grpc
channel = grpc.insecure_channel(sys.argv[1], options=[("grpc.default_authority", "grpc.example.com")])
unary = channel.unary_unary("/echo.Echo/Unary")
stream = channel.stream_stream("/echo.Echo/Stream")
for _ in range(20):
    print(unary(b"one", timeout=5).decode())
print(*[message.decode() for message in stream(iter([b"a", b"b", b"c"]), timeout=5)], sep="|")
"""


def test_grpc_unary_and_streaming(site):
    site.apply(edge.ingress("grpc", "grpc.example.com", "web", {"backend-protocol": "GRPC"}, port=50051))

    def asked():
        said = command(sys.executable, "-c", ASK_GRPC, f"{site.address}:80")
        return said if said.code == 0 else None

    *answers, streamed = until(asked, "gRPC answers").splitlines()
    assert {answer.partition(": ")[2] for answer in answers} == {"one"}
    # One client connection, yet every pod gets its share: a request-level balancer.
    assert len({answer.partition(": ")[0] for answer in answers}) == 2
    assert [message.partition(": ")[2] for message in streamed.split("|")] == ["a", "b", "c"]


ASK_BY_XDS = """
import sys, grpc
channel = grpc.insecure_channel(sys.argv[1])
call = channel.unary_unary("/echo.Echo/Unary")
for _ in range(20):
    print(call(b"x", timeout=10, wait_for_ready=True).decode())
"""


def test_grpcs_own_xds_client_finds_the_same_endpoints(site):
    server = f"172.30.{json.loads((site.directory / 'cluster.json').read_text())['index']}.1:15010"
    config = {
        "xds_servers": [{"server_uri": server, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
        "node": {"id": "test-client"},
    }
    env = os.environ | {"GRPC_XDS_BOOTSTRAP_CONFIG": json.dumps(config)}
    said = command(sys.executable, "-c", ASK_BY_XDS, "xds:///web.default.svc.cluster.local:50051", env=env)
    assert said.code == 0, said.err
    assert {line.split(":")[0] for line in said.splitlines()} == {
        pod["metadata"]["name"] for pod in site.get("pods", "-l", "app=web")["items"]
    }


def test_http2_without_tls_and_with(site, url):
    answer = edge.curl(f"{url}/ping", "--http2-prior-knowledge", host="web.example.com")
    assert answer.status == 200
    answer = edge.curl(f"https://{site.address}/ping", "--http2", "-w", "%{http_version}", host="web.example.com")
    assert answer.body.endswith("2")


def test_a_hundred_mebibytes_up_and_down(url, tmp_path):
    block = bytes(range(256)) * 4096
    file = tmp_path / "big"
    with file.open("wb") as out:
        for _ in range(100):
            out.write(block)
    digest = hashlib.sha256(block * 100).hexdigest()
    up = edge.curl(f"{url}/upload", "-T", str(file), "-X", "POST", host="web.example.com", timeout=60)
    assert up.json == {"length": 100 << 20, "sha256": digest}
    down = tmp_path / "down"
    edge.curl(f"{url}/download?mib=100", "-o", str(down), host="web.example.com", timeout=60)
    head, _, body = down.read_bytes().partition(b"\r\n\r\n")
    assert hashlib.sha256(body).hexdigest() == digest, head


def test_server_sent_events_arrive_one_by_one(site):
    with socket.create_connection((site.address, 80), timeout=5) as sock:
        sock.sendall(b"GET /sse?events=5 HTTP/1.1\r\nhost: web.example.com\r\n\r\n")
        moments, data = [], b""
        while data.count(b"data:") < 5:
            data += sock.recv(4096)
            moments += [time.monotonic()] * (data.count(b"data:") - len(moments))
    assert moments[-1] - moments[0] > 0.1, "nothing held them back until the end"


def test_a_slow_client_does_not_hold_up_others(site, url):
    with socket.create_connection((site.address, 80), timeout=5) as slow:
        request = b"POST /ping HTTP/1.1\r\nhost: web.example.com\r\ncontent-length: 10\r\n\r\n"
        for byte in request:
            slow.sendall(bytes([byte]))
            time.sleep(0.005)
        assert all(edge.curl(f"{url}/ping", host="web.example.com").status == 200 for _ in range(10))
        slow.sendall(b"0123456789")
        assert slow.recv(4096).startswith(b"HTTP/1.1 200")


# ── hardening ────────────────────────────────────────────────────────────────────────────────────────────────────────


def raw(site, data, timeout=5):
    """The first bytes of the answer, b"" when the connection is closed without one."""
    with socket.create_connection((site.address, 80), timeout=timeout) as sock:
        sock.sendall(data)
        sock.settimeout(timeout)
        try:
            return sock.recv(65536)
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize(
    "head",
    [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "content-length: 5\r\ncontent-length: 6",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: xchunked",
        " transfer-encoding: chunked",
        "content-length: +5",
        "x\0y: 1",
    ],
)
def test_requests_that_two_parsers_could_read_differently_are_refused(site, head):
    answer = raw(site, f"POST /ping HTTP/1.1\r\nhost: web.example.com\r\n{head}\r\n\r\n0\r\n\r\n".encode())
    assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 501", b""), answer


def test_oversized_headers_are_refused(site):
    answer = raw(site, b"GET / HTTP/1.1\r\nhost: web.example.com\r\nx-big: " + b"a" * 100_000 + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431")
    many = b"".join(b"x-%d: 1\r\n" % n for n in range(500))
    assert raw(site, b"GET / HTTP/1.1\r\nhost: web.example.com\r\n" + many + b"\r\n").startswith(b"HTTP/1.1 431")


def test_paths_are_normalised_before_they_are_matched(site, url):
    site.apply(edge.ingress("only", "paths.example.com", "web", path="/open"))
    serves(url, "paths.example.com", "/open/x")
    for path in ("/open/../secret", "/open/%2e%2e/secret", "/open/..%2fsecret", "//open/../secret", "/secret"):
        answer = edge.curl(url + path, "--path-as-is", host="paths.example.com")
        assert answer.status in (307, 400, 404), (path, answer.status, answer.body)
        assert answer.json.get("path", "").startswith("/open") or not answer.json, path
    assert edge.curl(f"{url}//open//x", "--path-as-is", host="paths.example.com").json["path"] == "/open/x"


# ── certificates ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_tls_by_secret_sni_and_the_redirect(site, url, tmp_path):
    for name in ("one", "two"):
        host = f"{name}.tls.example.com"
        key, cert = tmp_path / f"{name}.key", tmp_path / f"{name}.crt"
        asked = f"req -x509 -nodes -days 30 -newkey rsa:2048 -subj /CN={host} -addext subjectAltName=DNS:{host}"
        made = command("openssl", *asked.split(), "-keyout", str(key), "-out", str(cert))
        assert made.code == 0, made.err
        site.kubectl("create", "secret", "tls", f"tls-{name}", f"--cert={cert}", f"--key={key}")
        site.apply(edge.ingress(f"tls-{name}", host, "web", tls=f"tls-{name}"))
    for name in ("one", "two"):
        host = f"{name}.tls.example.com"

        def trusted(host=host, cert=tmp_path / f"{name}.crt"):
            return edge.curl(f"https://{site.address}/ping", "--cacert", str(cert), host=host, check=False)

        until(lambda: trusted().status == 200, f"{host} serves its own certificate")
        plain = edge.curl(f"{url}/ping", host=host)
        assert (plain.status, plain.headers["location"]) == (308, f"https://{host}/ping")


# ── one bad object never harms the rest ──────────────────────────────────────────────────────────────────────────────


def test_a_service_without_endpoints_is_named(site, url):
    site.apply(edge.backend("gone", replicas=0))
    site.apply(edge.ingress("gone", "gone.example.com", "gone"))
    answer = serves(url, "gone.example.com", status=503)
    assert "gone" in answer.body
    assert edge.curl(url, host="web.example.com").status == 200


def test_canary_header_beats_cookie_beats_weight(site, url):
    site.apply(edge.backend("canary"))
    site.kubectl("rollout", "status", "deployment/canary", "--timeout=60s")
    host = "canary.example.com"
    site.apply(edge.ingress("main", host, "web"))
    notes = {"canary": "true", "canary-weight": "20", "canary-by-header": "x-canary", "canary-by-cookie": "canary"}
    site.apply(edge.ingress("main-canary", host, "canary", notes))
    until(
        lambda: edge.curl(url, "-H", "x-canary: always", host=host).json.get("hostname", "").startswith("canary-"),
        "the canary takes what is sent to it",
    )

    def who(*options):
        return {edge.curl(url, *options, host=host).json["hostname"].split("-")[0] for _ in range(15)}

    assert who("-H", "x-canary: never") == {"web"}
    assert who("-b", "canary=always") == {"canary"}
    assert who("-b", "canary=never") == {"web"}
    assert who("-H", "x-canary: never", "-b", "canary=always") == {"web"}
    assert who("-H", "x-canary: always", "-b", "canary=never") == {"canary"}
    total = 5000
    counts = collections.Counter(asyncio.run(many(url, host, total)))
    assert sum(counts.values()) == total
    assert abs(100 * counts["canary"] / total - 20) < 3, counts


async def many(url, host, total):
    from aiohttp import ClientSession, TCPConnector

    async with ClientSession(connector=TCPConnector(limit=16), headers={"host": host}) as session:

        async def one():
            async with session.get(url) as answer:
                assert answer.status == 200
                return (await answer.json())["hostname"].split("-")[0]

        found = []
        for _ in range(total // 50):
            found += await asyncio.gather(*(one() for _ in range(50)))
        return found


# ── changes and deaths under load ────────────────────────────────────────────────────────────────────────────────────


def test_scaling_and_rolling_update_lose_no_request(site):
    site.apply(edge.backend("roll", replicas=2))
    site.kubectl("rollout", "status", "deployment/roll", "--timeout=60s")
    site.apply(edge.ingress("roll", "roll.example.com", "roll"))
    serves(f"http://{site.address}", "roll.example.com")
    with Load(f"http://{site.address}/ping", host="roll.example.com") as load:
        while load.total < 10_000 and not load.failed:
            for command in (("scale", "--replicas=4"), ("scale", "--replicas=2"), ("rollout", "restart")):
                site.kubectl(*command, "deployment/roll")
                site.kubectl("rollout", "status", "deployment/roll", "--timeout=60s")
            time.sleep(1)
    assert load.failed == []
    assert len(load.answered) > 4
