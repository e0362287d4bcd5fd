"""`sampan route`, `proxy-status` and `proxy-config` on a cluster: what they say is what requests meet."""

import json

import edge
import pytest
from e2e import until

WAY = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  annotations: {nginx.ingress.kubernetes.io/rewrite-target: /$2}
spec:
  ingressClassName: nginx
  rules:
  - host: shop.test
    http:
      paths:
      - path: /api(/|$)(.*)
        pathType: ImplementationSpecific
        backend: {service: {name: web, port: {number: 80}}}
"""


@pytest.fixture(scope="module")
def cluster():
    cluster = edge.start("proxies")
    try:
        yield cluster
    finally:
        cluster.remove()


def ask(cluster, *argv):
    return cluster.sampan(*argv, "--cluster", cluster.name, check=False)


def test_before_there_is_a_gateway(cluster):
    for verb in (["route", "GET", "http://shop.test/"], ["proxy-status"], ["proxy-config", "routes"]):
        answer = ask(cluster, *verb)
        assert answer.code == 1
        assert "there is no gateway yet" in answer.err
        assert "hint:" in answer.err


def test_a_request_goes_the_way_that_route_shows(cluster):
    cluster.apply(edge.backend("web", replicas=2))
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    cluster.apply(WAY)
    address = edge.address(cluster)
    until(lambda: edge.curl(f"http://{address}/api/ping", host="shop.test", check=False).status == 200, "it serves")
    shown = ask(cluster, "route", "get", "http://shop.test/api/ping?x=1")
    assert shown.code == 0, shown.err
    assert "ingresses default/shop spec.rules[0].http.paths[0]" in shown
    assert "path /api/ping?x=1 → /ping?x=1" in shown
    pods = cluster.jsonpath("{.items[*].status.podIP}", "pods", "-l", "app=web").split()
    assert all(f"{ip}:8080 healthy" in shown for ip in pods)
    (end,) = json.loads(
        ask(cluster, "route", "GET", f"http://{address}/api/ping?x=1", "-H", "Host: shop.test", "-o", "json")
    )["ends"]
    seen = edge.curl(f"http://{address}/api/ping?x=1", host="shop.test").json
    assert (end["path"], end["host"]) == (seen["path"], seen["host"])


@pytest.mark.parametrize(("url", "host"), [("/nowhere", "shop.test"), ("/api", "other.test")])
def test_where_it_ends_is_what_the_client_gets(cluster, url, host):
    address = edge.address(cluster)
    shown = ask(cluster, "route", "GET", f"http://{host}{url}", "-o", "json")
    (end,) = json.loads(shown)["ends"]
    answer = edge.curl(f"http://{address}{url}", host=host)
    assert shown.code == 1
    assert (end["status"], end["body"]) == (answer.status, answer.body) == (404, answer.body)


def test_the_proxy_has_what_it_was_told(cluster):
    shown = until(lambda: (s := ask(cluster, "proxy-status")).code == 0 and "STALE" not in s and s, "it is synced")
    line = shown.splitlines()[1].split()
    assert line[1:6] == ["SYNCED"] * 5
    for kind in ("listeners", "routes", "clusters", "endpoints", "secrets"):
        answer = ask(cluster, "proxy-config", kind, line[0])
        assert answer.code == 0, answer.err
    assert "default/web/80" in ask(cluster, "proxy-config", "endpoints")
    secrets = ask(cluster, "proxy-config", "secrets", "-o", "yaml")
    assert "CN=Kubernetes Ingress Controller Fake Certificate" in secrets
    assert "PRIVATE" not in secrets
    assert 'pods "nobody" not found' in ask(cluster, "proxy-config", "routes", "nobody").err


def test_a_service_without_endpoints(cluster):
    cluster.kubectl("scale", "deployment/web", "--replicas=0")
    body = "no endpoints: Service default/web has no ready endpoints"
    shown = until(lambda: body in (s := ask(cluster, "route", "GET", "http://shop.test/api")) and s, "nobody is left")
    assert shown.code == 1
    assert body in edge.curl(f"http://{edge.address(cluster)}/api", host="shop.test").body
