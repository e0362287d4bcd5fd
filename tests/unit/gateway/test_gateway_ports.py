"""The Services in front of Gateways: which ports of the proxy they lead to, stably, and who stands behind them."""

import gatewaycases

from sampan.api import meta
from sampan.api.kinds import SCHEME
from sampan.api.meta import Key
from sampan.gateway import ports
from sampan.gateway.gatewayapi import service_name
from sampan.gateway.types import Resources

LISTENERS = [{"name": "http", "port": 80, "protocol": "HTTP"}]


def gateway(name, *listeners, namespace="default", **spec):
    numbered = [
        {"name": f"l{i}", "port": port, "protocol": protocol}
        for i, (port, protocol) in enumerate(listeners or [(80, "HTTP")])
    ]
    return {"kind": "Gateway", "name": name, "namespace": namespace, "listeners": numbered, **spec}


def world(*entries, services=()):
    made = gatewaycases.made(list(entries), ready=False)
    objects = {**made.objects, "services": {meta.key(one): one for one in services}}
    return Resources(objects)


def of(resources, resource, pods=()):
    return [obj for name, obj in ports.objects(resources, pods) if name == resource]


def inner(services):
    """Service → its port and protocol → port of the proxy."""
    return {meta.name(s): {(p["port"], p["protocol"]): p["targetPort"] for p in s["spec"]["ports"]} for s in services}


def test_each_port_gets_one_of_its_own_shared_by_tcp_and_udp():
    found = of(world(gateway("b"), gateway("a", (53, "TCP"), (53, "UDP"), (80, "HTTP"), (443, "TCP"))), "services")
    assert inner(found) == {
        "gateway-a": {(53, "TCP"): 20000, (53, "UDP"): 20000, (80, "TCP"): 20001, (443, "TCP"): 20002},
        "gateway-b": {(80, "TCP"): 20003},
    }


def test_what_has_a_port_keeps_it_and_what_is_free_is_given_again():
    first = of(world(gateway("m"), gateway("z")), "services")
    assert inner(first) == {"gateway-m": {(80, "TCP"): 20000}, "gateway-z": {(80, "TCP"): 20001}}
    later = of(world(gateway("a"), gateway("z", (80, "HTTP"), (81, "HTTP")), services=first[1:]), "services")
    assert inner(later) == {
        "gateway-a": {(80, "TCP"): 20000},
        "gateway-z": {(80, "TCP"): 20001, (81, "TCP"): 20002},
    }
    assert ports.allocated({meta.key(s): s for s in later}) == {
        (Key("default", "a"), 80): 20000,
        (Key("default", "z"), 80): 20001,
        (Key("default", "z"), 81): 20002,
    }


def test_a_port_that_two_claim_is_the_first_ones():
    one, other = of(world(gateway("m"), gateway("z")), "services")
    other["spec"]["ports"][0]["targetPort"] = 20000
    services = {meta.key(s): s for s in (one, other)}
    assert ports.allocated(services) == {(Key("default", "m"), 80): 20000}
    mended = of(world(gateway("m"), gateway("z"), services=services.values()), "services")
    assert inner(mended) == {"gateway-m": {(80, "TCP"): 20000}, "gateway-z": {(80, "TCP"): 20001}}


def test_services_of_others_are_not_looked_at():
    mine = {
        "metadata": {"name": "gateway-x", "namespace": "default"},
        "spec": {"ports": [{"port": 80, "targetPort": 20000}]},
    }
    assert ports.allocated({meta.key(mine): mine}) == {}


def test_a_service_has_what_the_gateway_says_of_its_infrastructure():
    infrastructure = {"labels": {"team": "blue"}, "annotations": {"a.example/b": "c"}}
    (service,) = of(
        world(gateway("front", infrastructure=infrastructure, addresses=[{"value": "172.30.0.140"}])), "services"
    )
    assert service["metadata"]["labels"] == {
        "team": "blue",
        "gateway.networking.k8s.io/gateway-name": "front",
        "gateway.networking.k8s.io/gateway-class-name": "sampan",
    }
    assert service["metadata"]["annotations"] == {"a.example/b": "c"}
    owner = service["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Gateway", "front", True)
    assert service["spec"]["loadBalancerIP"] == "172.30.0.140"
    assert "selector" not in service["spec"]


def pod(name, ready=True, leaving=False, ip="10.244.0.9"):
    metadata = {"name": name, "namespace": "sampan-system", "uid": f"uid-{name}"}
    metadata |= {"deletionTimestamp": "2026-01-01T00:00:00Z"} if leaving else {}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": metadata, "spec": {"nodeName": "n0"}, "status": {"podIP": ip, "conditions": conditions}}


def test_the_gateways_pods_stand_behind_every_service():
    pods = [pod("b", ready=False), pod("a"), pod("c", leaving=True), pod("new", ip="")]
    (found,) = of(world(gateway("front", (80, "HTTP"), (53, "UDP"), namespace="team")), ports.SLICES, pods)
    assert found["metadata"]["labels"]["kubernetes.io/service-name"] == "gateway-front"
    assert found["metadata"]["namespace"] == "team"
    assert [(e["targetRef"]["name"], e["conditions"]) for e in found["endpoints"]] == [
        ("a", {"ready": True, "serving": True, "terminating": False}),
        ("b", {"ready": False, "serving": False, "terminating": False}),
        ("c", {"ready": False, "serving": True, "terminating": True}),
    ]
    assert {e["nodeName"] for e in found["endpoints"]} == {"n0"}
    assert [(p["name"], p["port"], p["protocol"]) for p in found["ports"]] == [
        ("udp-53", 20000, "UDP"),
        ("tcp-80", 20001, "TCP"),
    ]


def test_what_is_made_is_valid():
    infrastructure = {"labels": {"team": "blue"}}
    listeners = [(80, "HTTP"), (53, "UDP"), (53, "TCP")]
    for resource, obj in ports.objects(world(gateway("front", *listeners, infrastructure=infrastructure)), [pod("a")]):
        strategy = SCHEME.by_id[resource].strategy
        full = meta.copy(obj)
        full["metadata"] |= {"creationTimestamp": "2026-01-01T00:00:00Z", "uid": "u"}
        if resource == "services":
            full["spec"] |= {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]}
        strategy.default(full)
        strategy.prepare_create(full)
        assert [str(fault) for fault in strategy.validate(full)] == []


def test_gateways_that_are_not_accepted_need_nothing():
    refused = gateway("named", addresses=[{"type": "Hostname", "value": "a.example"}])
    assert ports.objects(world(refused, gateway("odd", (80, "example.com/QUIC"))), []) == []


def test_listener_sets_add_ports():
    entries = [
        gateway("front", allowedListeners={"namespaces": {"from": "Same"}}),
        {
            "kind": "ListenerSet",
            "name": "more",
            "parentRef": {"name": "front"},
            "listeners": [{**LISTENERS[0], "port": 81}],
        },
    ]
    assert inner(of(world(*entries), "services")) == {"gateway-front": {(80, "TCP"): 20000, (81, "TCP"): 20001}}


def test_names_of_services_fit_and_differ():
    assert service_name("front") == "gateway-front"
    long = [service_name("g" * 62 + end) for end in "ab"]
    assert all(len(name) <= 63 for name in long)
    assert len(set(long)) == 2
    assert service_name("a.b") != service_name("a-b")
    assert "." not in service_name("a.b")
