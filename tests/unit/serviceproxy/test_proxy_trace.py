"""`sampan trace` in pure form: where a packet goes, or the step where it ends and why."""

from typing import Any

import pytest
from proxyworld import VIP, A, B, endpoint, node_port, pod, service, slice_of

from sampan.api.meta import Key
from sampan.serviceproxy.trace import Step, TraceRequest, World, trace

CLIENT = Key("default", "client")
SELECTED = {"selector": {"app": "web"}}
READY = slice_of(endpoint("10.244.0.2"), endpoint("10.244.1.2", "b"))
PODS = [pod("client", "10.244.0.9"), pod("web-1", "10.244.0.2", app="web"), pod("web-2", "10.244.1.2", "b", app="web")]


def follow(
    host: str,
    port: int = 80,
    *,
    services: list[Any] | None = None,
    slices: list[Any] | None = None,
    pods: list[Any] | None = None,
    source: Key | None = CLIENT,
    lb_routes: dict[str, str] | None = None,
) -> list[Step]:
    names = {"web": (VIP,), "web.default": (VIP,)}
    world = World(
        services=[service(**SELECTED)] if services is None else services,
        slices=[READY] if slices is None else slices,
        pods=PODS if pods is None else pods,
        nodes={"a": A, "b": B},
        resolve=lambda _, name: names.get(name, ()),
        command=lambda one: f"python {one['metadata']['name']}.py",
        lan_ip="172.30.0.1",
        host_ips=frozenset({"172.30.0.1", "192.0.2.2"}),
        lb_routes=lb_routes or {},
    )
    return trace(TraceRequest(source, host, port), world)


def test_the_whole_way() -> None:
    steps = follow("web")
    assert [step.stage for step in steps] == ["from", "dns", "service", "rule", "endpoint", "endpoint"]
    assert all(step.ok for step in steps)
    assert steps[-1].text == "10.244.1.2:8080, 1 of 2: pod default/web-2 on node b runs python web-2.py"


@pytest.mark.parametrize(
    ("host", "port", "world", "why"),
    [
        ("wbe", 80, {}, "there is no name wbe"),
        ("web.shop", 80, {}, "there is web.default"),
        ("web", 81, {}, "Service default/web has no port 81; it has 80/TCP"),
        ("10.96.0.77", 80, {}, "no Service has the address 10.96.0.77"),
        ("web", 80, {"slices": [], "pods": PODS[:1]}, "its selector app=web matches 0 pods"),
        (
            "web",
            80,
            {"slices": [], "pods": [PODS[0], pod("web-1", "10.244.0.2", ready=False, app="web")]},
            "matches 1 pods, none ready: web-1 is Running, but not ready (readinessProbe)",
        ),
        (
            "web",
            80,
            {"slices": [], "services": [service(**SELECTED, ports=[{"port": 80, "targetPort": "htp"}])]},
            "targetPort 'htp' is no port of its pods; their ports are called http",
        ),
        ("web", 80, {"slices": [], "services": [service()]}, "has no selector"),
        (
            "web",
            80,
            {"slices": [slice_of(endpoint("10.244.1.2", "b"))], "services": [service(internalTrafficPolicy="Local")]},
            "internalTrafficPolicy is Local and node a has no ready endpoint (ready on: b)",
        ),
        ("10.244.0.77", 80, {}, "no pod has this address"),
    ],
)
def test_where_it_ends_and_why(host: str, port: int, world: dict[str, Any], why: str) -> None:
    steps = follow(host, port, **world)
    assert not steps[-1].ok
    assert why in steps[-1].text
    assert all(step.ok for step in steps[:-1])


def test_node_port_of_the_host_goes_through_the_first_node() -> None:
    published = [node_port(externalTrafficPolicy="Local", **SELECTED)]
    for address in ("127.0.0.1", "192.0.2.2"):
        steps = follow(address, 30080, services=published, source=None)
        assert steps[1] == Step("host", "NodePort 30080 of the host leads to node a (172.30.0.2)")
        assert [step.text.split(",")[0] for step in steps if step.stage == "endpoint"] == ["10.244.0.2:8080"]
    only_b = [slice_of(endpoint("10.244.1.2", "b"))]
    assert not follow("127.0.0.1", 30080, services=published, slices=only_b, source=None)[-1].ok
    assert follow("172.30.0.3", 30080, services=published, slices=only_b, source=None)[-1].ok


def test_addresses_that_are_no_services() -> None:
    assert "leaves through the host" in follow("198.51.100.7")[-1].text
    assert "pod default/web-1" in follow("10.244.0.2", 8080)[-1].text
    assert "no NodePort" in follow("192.0.2.2", 22)[-1].text
    assert "no NodePort" in follow("172.30.0.3", 22)[-1].text


def test_a_source_that_is_not_there() -> None:
    assert follow("web", source=Key("default", "nobody")) == [Step("from", "there is no pod default/nobody", False)]
    pending = {"metadata": {"name": "p", "namespace": "default"}, "spec": {}, "status": {"phase": "Pending"}}
    assert "no IP yet: it is Pending" in follow("web", source=Key("default", "p"), pods=[pending])[0].text


def test_a_load_balancer_from_the_host_and_from_a_pod() -> None:
    ip = "172.30.0.129"
    balanced = service(type="LoadBalancer", externalTrafficPolicy="Local", **SELECTED)
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": ip}]}}
    world: dict[str, Any] = {"services": [balanced], "slices": [slice_of(endpoint("10.244.1.2", "b"))]}
    steps = follow(ip, source=None, lb_routes={ip: B.ip}, **world)
    assert steps[1].text == f"load balancer address {ip} leads to node b (172.30.0.3)"
    assert "pod default/web-2 on node b" in steps[-1].text
    lost = follow(ip, source=None, **world)
    assert "externalTrafficPolicy is Local and node a has no ready endpoint" in lost[-1].text
    assert "pod default/web-2 on node b" in follow(ip, **world)[-1].text  # a pod's own node does it
    assert "Service default/web has no port 81; it has 80/TCP" in follow(ip, 81, **world)[-1].text
    assert "no Service has the address 172.30.0.140" in follow("172.30.0.140", source=None, **world)[-1].text


def test_a_host_port_leads_to_its_load_balancer() -> None:
    balanced = service(type="LoadBalancer", **SELECTED)
    balanced["metadata"]["annotations"] = {"sampan.io/host-ports": "8080:80"}
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": "172.30.0.129"}]}}
    for host, source in (("127.0.0.1", None), ("192.0.2.2", None), ("192.0.2.2", CLIENT)):
        steps = follow(host, 8080, source=source, services=[balanced])
        assert "host port 8080 leads to the load balancer of default/web, 172.30.0.129:80" in [s.text for s in steps]
        assert steps[-1].stage == "endpoint"
        assert steps[-1].ok
    assert "is the pod itself" in follow("127.0.0.1", 8080, services=[balanced])[-1].text
