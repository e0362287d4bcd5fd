"""Gateway API as its users meet it: kubectl, an address for each Gateway, the real Envoy behind it."""

import json
import socket
import time

import edge
import golden
import grpc
import pytest
import yaml
from e2e import Load, until

API = "gateway.networking.k8s.io/v1"


def manifest(kind, name, spec, namespace="default", api=API):
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def gateway(name, *listeners, **spec):
    entries = [yaml.safe_load(entry) for entry in listeners or ("{name: http, port: 80, protocol: HTTP}",)]
    return manifest("Gateway", name, {"gatewayClassName": "sampan", "listeners": entries, **spec})


def route(kind, name, parent, spec):
    return manifest(kind, name, {"parentRefs": [{"name": parent}]} | yaml.safe_load(spec))


def address_of(cluster, name):
    cluster.kubectl("wait", f"gateway/{name}", "--for=condition=Programmed", "--timeout=30s")
    return cluster.jsonpath("{.status.addresses[0].value}", "gateway", name)


def serves(address, path="/", host="", status=200, scheme="http"):
    def asked():
        answer = edge.curl(f"{scheme}://{address}{path}", host=host, check=False)
        return answer.status == status and answer

    return until(asked, f"{host}{path} at {address}: {status}")


def condition(cluster, path, *about):
    return cluster.jsonpath("{" + path + "}", *about)


@pytest.fixture(scope="module")
def site():
    cluster = edge.start("gwapi", nodes=2)
    try:
        cluster.apply(edge.backend("web", replicas=2, grpc=True))
        cluster.apply(edge.backend("other"))
        for name in ("web", "other"):
            cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
        yield cluster
    finally:
        cluster.remove()


def test_the_class_is_accepted_before_anybody_uses_it(site):
    site.kubectl("wait", "gatewayclass/sampan", "--for=condition=Accepted", "--timeout=10s")
    features = site.get("gatewayclass", "sampan")["status"]["supportedFeatures"]
    assert {"name": "HTTPRouteCORS"} in features
    assert site.kubectl("get", "gc").splitlines()[1].split()[:3] == ["sampan", "sampan.io/gateway-controller", "True"]


def test_each_gateway_has_an_address_and_routes_of_its_own(site):
    apply(site, gateway("front"), gateway("back"))
    apply(site, route("HTTPRoute", "front", "front", "rules: [{backendRefs: [{name: web, port: 80}]}]"))
    apply(site, route("HTTPRoute", "back", "back", "rules: [{backendRefs: [{name: other, port: 80}]}]"))
    front, back = address_of(site, "front"), address_of(site, "back")
    assert front != back
    assert serves(front, "/a").json["hostname"].startswith("web-")
    assert serves(back, "/b").json["hostname"].startswith("other-")
    lines = site.kubectl("get", "gtw").splitlines()
    assert lines[0].split() == ["NAME", "CLASS", "ADDRESS", "PROGRAMMED", "AGE"]
    assert sorted(line.split()[:4] for line in lines[1:]) == [
        ["back", "sampan", back, "True"],
        ["front", "sampan", front, "True"],
    ]
    parent = site.get("httproute", "front")["status"]["parents"][0]
    assert {c["type"]: c["status"] for c in parent["conditions"]} == {"Accepted": "True", "ResolvedRefs": "True"}
    assert site.get("gateway", "front")["status"]["listeners"][0]["attachedRoutes"] == 1
    service = site.get("service", "gateway-front")
    assert service["metadata"]["labels"]["gateway.networking.k8s.io/gateway-name"] == "front"
    assert serves(front, "/peer").json["headers"]["x-forwarded-for"] == site_ip(site)


def site_ip(site):
    """The host's address on the cluster's network: what pods and load balancers see of it."""
    return site.jsonpath("{.subsets[0].addresses[0].ip}", "endpoints", "kubernetes")


def apply(site, *objects):
    site.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def test_rules_change_while_requests_flow(site):
    apply(site, gateway("live"), route("HTTPRoute", "live", "live", "rules: [{backendRefs: [{name: web, port: 80}]}]"))
    address = address_of(site, "live")
    serves(address)
    both = "rules: [{backendRefs: [{name: web, port: 80, weight: 1}, {name: other, port: 80, weight: 1}]}]"
    with Load(f"http://{address}/") as load:
        time.sleep(0.5)
        apply(site, route("HTTPRoute", "live", "live", both))
        until(lambda: serves(address).json["hostname"].startswith("other-"), "the other one too")
        apply(site, gateway("another"))
        address_of(site, "another")
        site.kubectl("delete", "gateway", "another")
        time.sleep(0.5)
    assert load.failed == []
    site.kubectl("delete", "gateway,httproute", "live")


def test_a_gateway_takes_its_service_with_it(site):
    apply(
        site, gateway("brief"), route("HTTPRoute", "brief", "brief", "rules: [{backendRefs: [{name: web, port: 80}]}]")
    )
    address = address_of(site, "brief")
    serves(address)
    site.kubectl("delete", "gateway", "brief")
    gone = lambda: site.kubectl("get", "svc", "gateway-brief", check=False).code == 1
    until(gone, "its Service goes")
    until(lambda: edge.curl(f"http://{address}/", check=False, timeout=1).status == 0, "nobody answers")
    until(lambda: site.get("httproute", "brief")["status"]["parents"] == [], "the route has no parent")
    site.kubectl("delete", "httproute", "brief")


def test_tls_tcp_and_grpc(site, tmp_path):
    chain, key = golden.pair(("shop.example.com",))
    for name, content in (("tls.crt", chain), ("tls.key", key)):
        (tmp_path / name).write_bytes(content)
    site.kubectl("create", "secret", "tls", "shop", f"--cert={tmp_path}/tls.crt", f"--key={tmp_path}/tls.key")
    listeners = (
        "{name: https, port: 443, protocol: HTTPS, hostname: shop.example.com, tls: {certificateRefs: [{name: shop}]}}",
        "{name: tcp, port: 9000, protocol: TCP}",
        "{name: grpc, port: 50051, protocol: HTTP}",
    )
    apply(
        site,
        gateway("many", *listeners),
        route(
            "HTTPRoute",
            "https",
            "many",
            "{hostnames: [shop.example.com], rules: [{backendRefs: [{name: web, port: 80}]}]}",
        ),
        route("TCPRoute", "tcp", "many", "rules: [{backendRefs: [{name: other, port: 80}]}]"),
        route(
            "GRPCRoute",
            "grpc",
            "many",
            "{hostnames: [grpc.example.com], rules: [{backendRefs: [{name: web, port: 50051}]}]}",
        ),
    )
    address = address_of(site, "many")
    assert serves(address, "/tls", "shop.example.com", scheme="https").json["headers"]["x-forwarded-proto"] == "https"
    tcp = lambda: edge.curl(f"http://{address}:9000/tcp", check=False).json.get("hostname", "").startswith("other-")
    until(tcp, "the TCP listener leads to the other Service")
    options = [("grpc.default_authority", "grpc.example.com")]
    with grpc.insecure_channel(f"{address}:50051", options=options) as channel:
        call = channel.unary_unary("/echo.Echo/Unary")

        def answered():
            try:
                return call(b"hello", timeout=10, wait_for_ready=True).endswith(b"hello")
            except grpc.RpcError:  # the routes of one file come one after the other
                return False

        until(answered, "gRPC answers")
        stream = channel.stream_stream("/echo.Echo/Stream")
        assert [answer[-1:] for answer in stream(iter([b"a", b"b"]), timeout=10)] == [b"a", b"b"]
    site.kubectl("delete", "gateway", "many")


def test_what_is_wrong_is_said_and_harms_nobody(site):
    apply(
        site,
        gateway(
            "mixed",
            "{name: http, port: 80, protocol: HTTP}",
            "{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: missing}]}}",
            "{name: odd, port: 81, protocol: SCTP}",
        ),
        route(
            "HTTPRoute",
            "good",
            "mixed",
            "rules: [{matches: [{path: {value: /good}}], backendRefs: [{name: web, port: 80}]}]",
        ),
        route(
            "HTTPRoute",
            "lost",
            "mixed",
            "rules: [{matches: [{path: {value: /lost}}], backendRefs: [{name: nobody, port: 80}]}]",
        ),
        route(
            "HTTPRoute",
            "regex",
            "mixed",
            "rules: [{matches: [{path: {type: RegularExpression, value: '/(?=x)'}}], backendRefs: [{name: web, port: 80}]}]",
        ),
    )
    address = address_of(site, "mixed")
    serves(address, "/good")
    serves(address, "/lost", status=500)
    of_listener = "{range .status.listeners[*]}{.name}={.conditions[?(@.type=='%s')].reason} {end}"
    assert site.jsonpath(of_listener % "Accepted", "gateway", "mixed").split() == [
        "http=Accepted",
        "https=Accepted",
        "odd=UnsupportedProtocol",
    ]
    assert "https=InvalidCertificateRef" in site.jsonpath(of_listener % "ResolvedRefs", "gateway", "mixed")
    of_route = "{.status.parents[0].conditions[?(@.type=='%s')].reason}"
    assert site.jsonpath(of_route % "ResolvedRefs", "httproute", "lost") == "BackendNotFound"
    assert site.jsonpath(of_route % "Accepted", "httproute", "regex") == "UnsupportedValue"
    site.kubectl("delete", "gateway", "mixed")


def test_other_namespaces_bring_listeners_and_lend_services(site):
    site.kubectl("create", "namespace", "team")
    site.apply(edge.backend("tool"), "-n", "team")
    site.kubectl("rollout", "status", "deployment/tool", "-n", "team", "--timeout=60s")
    apply(site, gateway("shared", allowedListeners={"namespaces": {"from": "All"}}))
    listener = {"name": "team", "port": 8080, "protocol": "HTTP", "hostname": "team.example"}
    parent = {"name": "shared", "namespace": "default"}
    apply(site, manifest("ListenerSet", "team", {"parentRef": parent, "listeners": [listener]}, "team"))
    rule = {"backendRefs": [{"name": "tool", "port": 80}]}
    parents = [{"kind": "ListenerSet", "name": "team"}]
    apply(site, manifest("HTTPRoute", "team", {"parentRefs": parents, "rules": [rule]}, "team"))
    address = address_of(site, "shared")
    assert serves(f"{address}:8080", host="team.example").json["hostname"].startswith("tool-")
    borrowed = "rules: [{backendRefs: [{name: tool, namespace: team, port: 80}]}]"
    apply(site, route("HTTPRoute", "borrowed", "shared", borrowed))
    serves(address, status=500)
    grant = {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "default"}],
        "to": [{"group": "", "kind": "Service"}],
    }
    apply(site, manifest("ReferenceGrant", "tool", grant, "team"))
    assert serves(address).json["hostname"].startswith("tool-")
    site.kubectl("delete", "referencegrant", "tool", "-n", "team")
    serves(address, status=500)


def test_an_address_that_was_asked_for(site):
    taken = address_of(site, "front")
    network = taken.rpartition(".")[0]
    apply(
        site, gateway("fixed", addresses=[{"value": f"{network}.250"}]), gateway("greedy", addresses=[{"value": taken}])
    )
    assert address_of(site, "fixed") == f"{network}.250"
    reason = "{.status.conditions[?(@.type=='Programmed')].reason}"
    until(lambda: site.jsonpath(reason, "gateway", "greedy") == "AddressNotUsable", "the other one's address is not")
    site.kubectl("delete", "gateway", "greedy", "fixed")


def test_udp(site):
    """Names of the cluster, asked from outside."""
    apply(
        site,
        gateway("dns", "{name: dns, port: 53, protocol: UDP}"),
        manifest("ReferenceGrant", "dns", DNS_GRANT, "kube-system"),
        route("UDPRoute", "dns", "dns", "rules: [{backendRefs: [{name: kube-dns, namespace: kube-system, port: 53}]}]"),
    )
    address = address_of(site, "dns")
    question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    for label in ("kubernetes", "default", "svc", "cluster", "local"):
        question += bytes([len(label)]) + label.encode()
    question += b"\x00\x00\x01\x00\x01"

    def answered():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(1)
            client.sendto(question, (address, 53))
            try:
                return client.recv(512)
            except TimeoutError:
                return None

    answer = until(answered, "an answer")
    assert answer[:2] == b"\x12\x34"
    assert answer.endswith(socket.inet_aton(site.jsonpath("{.spec.clusterIP}", "svc", "kubernetes")))


DNS_GRANT = {
    "from": [{"group": "gateway.networking.k8s.io", "kind": "UDPRoute", "namespace": "default"}],
    "to": [{"group": "", "kind": "Service", "name": "kube-dns"}],
}
