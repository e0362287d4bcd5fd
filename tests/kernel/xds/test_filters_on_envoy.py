"""Each policy on the real Envoy, by the golden case `policies`: who is let pass, who is refused, and how."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import golden
import grpc
import irload
import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2
from envoylab import EnvoyLab

from sampan import ir
from sampan.base.netns import inside
from sampan.xds.build import Builder

URL = "http://h:10080"


@pytest.fixture(scope="module")
def proxy() -> ir.Proxy:
    (case,) = [case for case in golden.cases("xds") if case.path.stem == "policies"]
    return irload.proxy(case.input)


@pytest.fixture
def lab(envoy: EnvoyLab, proxy: ir.Proxy) -> EnvoyLab:
    """With all policies again, whatever the test before it pushed."""
    assert envoy.push(Builder().build(proxy)) == {}
    envoy.wait_until_ready()
    return envoy


def with_policies(proxy: ir.Proxy, policies: ir.Policies, cluster: str = "one") -> ir.Proxy:
    """Only one route."""
    route = ir.Route("r", ir.Match(), ir.Forward((ir.Target(cluster),)), policies)
    table = ir.RouteTable("t", (ir.VirtualHost("any", ("*",), (route,)),))
    return ir.Proxy(proxy.listeners, {"t": table}, proxy.clusters, proxy.endpoints)


def basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_cors(lab: EnvoyLab) -> None:
    preflight = {"origin": "https://ok.example.com", "access-control-request-method": "PUT"}
    answer = lab.request(f"{URL}/cors", "OPTIONS", preflight)
    assert answer.status == 200
    assert answer.body == ""
    assert {k: v for k, v in answer.headers.items() if k.startswith("access-control")} == {
        "access-control-allow-origin": "https://ok.example.com",
        "access-control-allow-methods": "GET, PUT",
        "access-control-allow-headers": "X-A",
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "X-B",
        "access-control-max-age": "600",
    }
    real = lab.request(f"{URL}/cors", "PUT", {"origin": "https://ok.example.com"})
    assert real.seen["method"] == "PUT"
    assert real.headers["access-control-expose-headers"] == "X-B"
    other = lab.request(f"{URL}/cors", headers={"origin": "https://evil.example.com"})
    assert "access-control-allow-origin" not in other.headers


def test_ip_access(lab: EnvoyLab) -> None:
    assert lab.request(f"{URL}/access", source="127.0.0.1").status == 200
    assert lab.request(f"{URL}/access", source="127.0.0.2").status == 403  # denied though in the allowed range
    assert lab.request(f"{URL}/access", source="127.0.0.5").status == 403
    assert lab.request(f"{URL}/access", source="127.0.0.5", headers={"x-forwarded-for": "127.0.0.1"}).status == 403


def test_rate_limit_is_for_each_client(lab: EnvoyLab) -> None:
    assert [lab.request(f"{URL}/limit", source="127.0.0.11").status for _ in range(4)] == [200, 200, 429, 429]
    assert [lab.request(f"{URL}/limit", source="127.0.0.12").status for _ in range(3)] == [200, 200, 429]
    assert {lab.request(f"{URL}/limit", source="127.0.0.9").status for _ in range(6)} == {200}  # exempt


def test_rate_limit_of_all_clients_together_fills_again(lab: EnvoyLab, proxy: ir.Proxy) -> None:
    limit = ir.RateLimit(requests=2, period=1, burst=3, per_client=False, status=503)
    lab.push(Builder().build(with_policies(proxy, ir.Policies(rate_limits=(limit,)))))
    statuses = [lab.request(f"{URL}/", source=f"127.0.0.{20 + n}").status for n in range(8)]
    assert statuses[:3] == [200, 200, 200]
    assert 503 in statuses
    time.sleep(0.6)
    assert lab.request(f"{URL}/").status == 200


def test_body_limit(lab: EnvoyLab) -> None:
    assert lab.request(f"{URL}/body", "POST", body=b"x" * 10).seen["length"] == 10
    assert lab.request(f"{URL}/body", "POST", body=b"x" * 11).status == 413
    assert lab.request(f"{URL}/larger", "POST", body=b"x" * 20).seen["length"] == 20
    assert lab.request(f"{URL}/larger", "POST", body=b"x" * 21).status == 413
    assert lab.request(f"{URL}/plain", "POST", body=b"x" * 2_000_000).seen["length"] == 2_000_000


def test_body_limit_without_a_length(lab: EnvoyLab) -> None:
    assert chunked(lab, "/body", [b"12345", b"67890"]).startswith(b"HTTP/1.1 200")
    assert chunked(lab, "/body", [b"12345", b"67890", b"1"]).startswith(b"HTTP/1.1 413")


def chunked(lab: EnvoyLab, path: str, chunks: list[bytes]) -> bytes:
    with lab.connect(10080) as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for chunk in [*chunks, b""]:
            client.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        return client.recv(65536)


@pytest.mark.parametrize(
    ("stored", "password"),
    [
        ("$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/", "secret"),
        ("$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1", "secret"),
        ("$apr1$x$thjJi.MWgq5J783kbHHJF/", "a password of more than sixteen characters"),
        ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "secret"),
        ("{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0", "secret"),
        ("{PLAIN}sec:ret", "sec:ret"),
    ],
)
def test_basic_auth_knows_the_hashes_of_htpasswd(lab: EnvoyLab, proxy: ir.Proxy, stored: str, password: str) -> None:
    policies = ir.Policies(basic_auth=ir.BasicAuth((("bob", stored), ("other", "{PLAIN}other")), "r"))
    lab.push(Builder().build(with_policies(proxy, policies)))
    for _ in range(2):  # computed, remembered
        assert lab.request(URL, headers=basic("bob", password)).status == 200
        assert lab.request(URL, headers=basic("bob", password + "x")).status == 401
        assert lab.request(URL, headers=basic("other", password)).status == 401


def test_basic_auth_asks_for_a_password(lab: EnvoyLab) -> None:
    answer = lab.request(f"{URL}/basic")
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="A \\"realm\\"", charset="UTF-8"'
    for headers in ({"authorization": "Bearer x"}, {"authorization": "Basic ???"}, {"authorization": "Basic"}):
        assert lab.request(f"{URL}/basic", headers=headers).status == 401
    passed = lab.request(f"{URL}/basic", headers=basic("sha", "password"))
    assert passed.status == 200
    assert passed.seen["headers"]["authorization"].startswith("Basic ")


def test_external_auth_asks_with_its_own_path_and_method(lab: EnvoyLab) -> None:
    refused = lab.request(f"{URL}/ask?q=1&r=%C3%BC", "POST", {"x-mine": "1"}, b"a body")
    assert refused.status == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    question = refused.seen
    assert question["method"] == "GET"
    assert question["path"] == "/auth?rd=%2Fask%3Fq%3D1%26r%3D%25C3%25BC"
    assert question["host"] == "auth.local"
    assert question["length"] == 0
    assert question["headers"]["x-original-uri"] == "/ask?q=1&r=%C3%BC"
    assert question["headers"]["x-mine"] == "1"


def test_external_auth_lets_pass_with_headers_of_the_answer(lab: EnvoyLab) -> None:
    passed = lab.request(f"{URL}/ask", "POST", {"x-token": "good", "x-user": "mallory"}, b"a body")
    assert passed.status == 200
    assert passed.seen["headers"]["x-user"] == "bob"
    assert passed.seen["length"] == 6
    assert passed.cookies == ["seen=1"]


def test_external_auth_sends_browsers_to_sign_in(lab: EnvoyLab) -> None:
    answer = lab.request(f"{URL}/signin/x?y=1")
    assert answer.status == 302
    assert answer.headers["location"] == "https://login.example.com/?rd=http://h:10080%2Fsignin%2Fx%3Fy%3D1"


@pytest.mark.parametrize(
    ("cluster", "fail_open", "status"), [("empty", False, 503), ("empty", True, 200), ("gone", False, 500)]
)
def test_external_auth_without_anybody_to_ask(
    lab: EnvoyLab, proxy: ir.Proxy, cluster: str, fail_open: bool, status: int
) -> None:
    auth = ir.ExternalAuth(cluster, "auth.local", "/auth", fail_open=fail_open)
    lab.push(Builder().build(with_policies(proxy, ir.Policies(external_auth=auth))))
    assert lab.request(URL).status == status


def test_external_auth_by_grpc_refuses_when_nobody_answers(lab: EnvoyLab) -> None:
    assert lab.request(f"{URL}/grpc").status == 403
    assert lab.request(f"{URL}/open").status == 200


@pytest.fixture
def authorization(lab: EnvoyLab) -> Iterator[str]:
    """A gRPC service that lets `x-token: good` pass, as the cluster of this name."""

    def check(request: Any, context: Any) -> Any:
        http = request.attributes.request.http
        made = external_auth_pb2.CheckResponse()
        if http.headers.get("x-token") == "good":
            made.ok_response.headers.add().header.CopyFrom(base_pb2.HeaderValue(key="x-body", value=http.body))
        else:
            made.status.code = 7
            made.denied_response.status.code = 403
            made.denied_response.body = f"no {http.method} {http.path}"
        return made

    handler = grpc.unary_unary_rpc_method_handler(
        check, external_auth_pb2.CheckRequest.FromString, external_auth_pb2.CheckResponse.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(2))
    service = grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", {"Check": handler})
    server.add_generic_rpc_handlers([service])
    with inside(lab.netns):
        port = server.add_insecure_port("127.1.0.5:0")
    server.start()
    yield f"127.1.0.5:{port}"
    server.stop(0)


def test_external_auth_by_grpc(lab: EnvoyLab, proxy: ir.Proxy, authorization: str) -> None:
    ip, _, port = authorization.partition(":")
    auth = ir.ExternalAuth("asked", "auth.local", "", grpc=True, body_limit=100)
    one = with_policies(proxy, ir.Policies(external_auth=auth))
    clusters = {**one.clusters, "asked": ir.Cluster("asked", endpoints="asked", http2=True)}
    endpoints = {**one.endpoints, "asked": ir.Endpoints("asked", (ir.Endpoint(ip, int(port)),))}
    assert lab.push(Builder().build(replace(one, clusters=clusters, endpoints=endpoints))) == {}
    refused = lab.request(f"{URL}/x?y", "PUT", body=b"hello")
    assert (refused.status, refused.body) == (403, "no PUT /x?y")
    passed = lab.request(f"{URL}/x", "PUT", {"x-token": "good"}, b"hello")
    assert passed.seen["headers"]["x-body"] == "hello"
    assert passed.seen["length"] == 5


def test_any_of_several_is_enough(lab: EnvoyLab) -> None:
    assert lab.request(f"{URL}/any", source="127.0.0.7").status == 200
    assert lab.request(f"{URL}/any").status == 401
    assert lab.request(f"{URL}/any", headers=basic("sha", "password")).status == 200


def test_session_cookie_leads_back(lab: EnvoyLab) -> None:
    first = lab.request(f"{URL}/session")
    (cookie,) = first.cookies
    assert cookie.startswith('route="')
    assert {part.strip() for part in cookie.split(";")[1:]} >= {"HttpOnly", "Secure", "SameSite=Lax", "Max-Age=3600"}
    value = cookie.partition(";")[0]
    assert {lab.request(f"{URL}/session", headers={"cookie": value}).seen["ip"] for _ in range(10)} == {
        first.seen["ip"]
    }
    assert len({lab.request(f"{URL}/session").seen["ip"] for _ in range(10)}) == 2


def test_custom_errors(lab: EnvoyLab) -> None:
    answer = lab.request(f"{URL}/status/404?x=1")
    assert (answer.status, answer.body) == (404, "page of 404 /status/404?x=1")
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-length"] == str(len(answer.body))
    other = lab.request(f"{URL}/status/500")
    assert (other.status, other.body) == (500, "from the upstream")
    head = lab.request(f"{URL}/status/404", "HEAD")
    assert (head.status, head.body) == (404, "")


@pytest.mark.parametrize("headers", [{"x-size": "200000"}, {"x-chunked": "1"}, {"x-chunked": "1", "x-size": "200000"}])
def test_custom_errors_in_place_of_long_answers(lab: EnvoyLab, headers: dict[str, str]) -> None:
    answer = lab.request(f"{URL}/status/404?x=1", "POST", headers, b"x" * 1000)
    assert (answer.status, answer.body) == (404, "page of 404 /status/404?x=1")
    assert answer.headers["content-type"] == "text/html"
    empty = lab.request(f"{URL}/status/503", headers={"x-empty": "1"})
    assert (empty.status, empty.body) == (503, "page of 503 /status/503")


def test_custom_errors_without_a_page(lab: EnvoyLab, proxy: ir.Proxy) -> None:
    for cluster in ("empty", "gone"):
        policies = ir.Policies(errors=ir.CustomErrors((404,), cluster, "errors.local"))
        lab.push(Builder().build(with_policies(proxy, policies)))
        answer = lab.request(f"{URL}/status/404")
        assert (answer.status, answer.body) == (404, "from the upstream")


def test_custom_errors_of_a_service_without_endpoints(lab: EnvoyLab, proxy: ir.Proxy) -> None:
    """The proxy's own 503 is replaced like the upstream's."""
    policies = ir.Policies(
        errors=ir.CustomErrors(
            (503,), "one", "errors.local", "/page", ir.HeaderChanges(set=(("x-code", "%RESPONSE_CODE%"),))
        )
    )
    lab.push(Builder().build(with_policies(proxy, policies, "empty")))
    answer = lab.request(f"{URL}/")
    assert (answer.status, answer.body) == (503, "page of 503 None")


def test_no_script_failed(lab: EnvoyLab) -> None:
    """Last: what the tests before it made the scripts do."""
    assert "script error" not in lab.log.read_text()
