"""What the rules say, asked by walking packets through them."""

from typing import Any

import pytest
from proxyworld import VIP, A, B, endpoint, node_port, service, slice_of

from sampan.serviceproxy import nft
from sampan.serviceproxy.model import NodeFacts, Ruleset
from sampan.serviceproxy.rules import compile_all
from sampan.serviceproxy.trace import Outcome, Packet, Verdict, walk

POD_A, POD_B, OUTSIDE = "10.244.0.9", "10.244.1.9", "192.0.2.7"
EVERYWHERE = slice_of(endpoint("10.244.0.2"), endpoint("10.244.1.2", "b"))


def go(
    services: list[Any], slices: list[Any], ip: str = VIP, port: int = 80, *, src: str = POD_A, on: NodeFacts = A
) -> Outcome:
    return walk(compile_all(services, slices, on), Packet(src, ip, port))


def ips(outcome: Outcome) -> list[str]:
    assert outcome.verdict is Verdict.DNAT
    return [target.ip for target in outcome.targets]


def test_cluster_ip_reaches_all_ready_endpoints_at_the_slices_port() -> None:
    outcome = go([service()], [EVERYWHERE])
    assert [str(target) for target in outcome.targets] == ["10.244.0.2:8080", "10.244.1.2:8080"]
    assert not outcome.masquerade
    assert go([service()], [EVERYWHERE], src=OUTSIDE).masquerade
    assert go([service()], [slice_of(endpoint(POD_A))]).masquerade


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        ([endpoint("10.244.0.2", ready=True), endpoint("10.244.0.3", ready=False)], ["10.244.0.2"]),
        ([endpoint("10.244.0.2")], ["10.244.0.2"]),  # no condition known: ready
        # terminating ones serve only when nobody is ready
        (
            [endpoint("10.244.0.2"), endpoint("10.244.0.3", ready=False, serving=True, terminating=True)],
            ["10.244.0.2"],
        ),
        ([endpoint("10.244.0.3", ready=False, serving=True, terminating=True)], ["10.244.0.3"]),
    ],
)
def test_who_is_eligible(endpoints: list[Any], expected: list[str]) -> None:
    assert ips(go([service()], [slice_of(*endpoints)])) == expected


def test_without_endpoints_the_client_is_refused() -> None:
    unready = endpoint("10.244.0.3", ready=False, serving=False, terminating=True)
    assert go([service()], [slice_of(unready)]).verdict is Verdict.REJECT
    assert go([service()], []).verdict is Verdict.REJECT


def test_addresses_of_load_balancers_are_refused_unless_a_service_has_them() -> None:
    balanced = service(type="LoadBalancer", externalTrafficPolicy="Cluster")
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": "172.30.0.129", "ipMode": "VIP"}]}}
    for source in (POD_A, OUTSIDE):
        found = go([balanced], [EVERYWHERE], "172.30.0.129", src=source)
        assert (ips(found), found.masquerade) == (["10.244.0.2", "10.244.1.2"], True)
        assert go([balanced], [EVERYWHERE], "172.30.0.129", 81, src=source).verdict is Verdict.REJECT
        assert go([balanced], [EVERYWHERE], "172.30.0.130", src=source).verdict is Verdict.REJECT
    assert go([balanced], [EVERYWHERE], "172.30.0.2", 22).verdict is Verdict.PASS
    assert "ip daddr 172.30.0.128/25 reject" in nft.full(compile_all([], [], A))


def test_addresses_of_the_service_range_never_pass() -> None:
    assert go([service()], [EVERYWHERE], port=81).verdict is Verdict.REJECT
    assert go([service()], [EVERYWHERE], ip="10.96.0.51").verdict is Verdict.DROP
    assert go([service()], [EVERYWHERE], ip="192.0.2.1").verdict is Verdict.PASS


@pytest.mark.parametrize(
    "service_",
    [
        service(type="ExternalName", externalName="example.com"),
        service(clusterIP="None", clusterIPs=["None"]),
        service(clusterIP="", clusterIPs=[]),
        service()
        | {"metadata": {"name": "web", "namespace": "default", "labels": {"service.kubernetes.io/headless": ""}}},
    ],
)
def test_services_without_a_virtual_ip_of_ours(service_: dict[str, Any]) -> None:
    assert go([service_], [EVERYWHERE]).verdict is Verdict.DROP


def test_ports_are_matched_by_name_and_protocol() -> None:
    two = service(ports=[{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}])
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "dns", "port": 5353, "protocol": "UDP"}]
    rules = compile_all([two], [slice_of(endpoint("10.244.0.2"), ports=ports)], A)
    assert [str(t) for t in walk(rules, Packet(POD_A, VIP, 80)).targets] == ["10.244.0.2:8080"]
    assert [str(t) for t in walk(rules, Packet(POD_A, VIP, 53, "udp")).targets] == ["10.244.0.2:5353"]
    assert walk(rules, Packet(POD_A, VIP, 53, "tcp")).verdict is Verdict.REJECT


def test_ipv6_slices_and_foreign_slices_are_not_ours() -> None:
    six = slice_of(endpoint("fd00::2"), addressType="IPv6")
    foreign = slice_of(endpoint("10.244.0.2"), name="other")
    assert go([service()], [six, foreign]).verdict is Verdict.REJECT


def test_a_pod_in_two_slices_counts_once() -> None:
    moving = slice_of(endpoint("10.244.0.2", ready=False), endpoint("10.244.1.2", "b"))
    assert ips(go([service()], [moving, slice_of(endpoint("10.244.0.2"))])) == ["10.244.0.2", "10.244.1.2"]


def test_node_port_on_the_nodes_addresses() -> None:
    outcome = go([node_port()], [EVERYWHERE], A.ip, 30080, src=OUTSIDE)
    assert len(outcome.targets) == 2
    assert outcome.masquerade
    assert go([node_port()], [EVERYWHERE], "10.244.0.1", 30080).verdict is Verdict.DNAT
    assert go([node_port()], [EVERYWHERE], B.ip, 30080).verdict is Verdict.PASS  # the other node's business
    assert go([node_port()], [EVERYWHERE], A.ip, 30081).verdict is Verdict.PASS


def test_internal_policy_local() -> None:
    local = service(internalTrafficPolicy="Local")
    assert ips(go([local], [EVERYWHERE])) == ["10.244.0.2"]
    assert go([local], [slice_of(endpoint("10.244.1.2", "b"))]).verdict is Verdict.DROP
    assert go([local], []).verdict is Verdict.REJECT


def test_external_policy_local() -> None:
    local, only_b = node_port(externalTrafficPolicy="Local"), slice_of(endpoint("10.244.1.2", "b"))
    from_outside = go([local], [EVERYWHERE], A.ip, 30080, src=OUTSIDE)
    assert ips(from_outside) == ["10.244.0.2"]
    assert not from_outside.masquerade
    assert go([local], [only_b], A.ip, 30080, src=OUTSIDE).verdict is Verdict.DROP
    assert go([local], [], A.ip, 30080, src=OUTSIDE).verdict is Verdict.REJECT
    assert ips(go([local], [only_b], A.ip, 30080, src=POD_A)) == ["10.244.1.2"]
    # A pod of another node comes as a client from outside: an answer past this node would not be understood.
    assert go([local], [only_b], A.ip, 30080, src=POD_B).verdict is Verdict.DROP
    assert ips(go([local], [only_b])) == ["10.244.1.2"]


def test_load_balancer_ranges_do_not_guard_the_node_port() -> None:
    balanced = node_port(loadBalancerSourceRanges=["10.244.0.0/24", "10.244.0.0/25"])
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}, {"ip": "fd00::7"}]}}
    assert go([balanced], [EVERYWHERE], "198.51.100.7").verdict is Verdict.DNAT
    assert go([balanced], [EVERYWHERE], "198.51.100.7", src=OUTSIDE).verdict is Verdict.DROP
    assert go([balanced], [EVERYWHERE], A.ip, 30080, src=OUTSIDE).verdict is Verdict.DNAT
    assert "{ 10.244.0.0/24 } drop" in nft.full(compile_all([balanced], [], A))


def test_hints_count_only_when_every_endpoint_has_them() -> None:
    def hinted(ip: str, node: str, zone: str = "") -> dict[str, Any]:
        return endpoint(ip, node, {"forNodes": [{"name": node}]} if not zone else {"forZones": [{"name": zone}]})

    nodes = slice_of(hinted("10.244.0.2", "a"), hinted("10.244.1.2", "b"))
    zones = slice_of(hinted("10.244.0.2", "a", "z1"), hinted("10.244.1.2", "b", "z2"))
    half = slice_of(hinted("10.244.0.2", "a"), endpoint("10.244.1.2", "b"))
    elsewhere = slice_of(hinted("10.244.1.2", "b"))
    assert ips(go([service()], [nodes])) == ["10.244.0.2"]
    assert ips(go([service()], [zones], on=B)) == ["10.244.1.2"]
    assert len(ips(go([service()], [half]))) == 2
    assert ips(go([service()], [elsewhere])) == ["10.244.1.2"]


def test_two_services_with_one_external_ip() -> None:
    one = service("one", externalIPs=["198.51.100.7"], clusterIP="10.96.0.1", clusterIPs=["10.96.0.1"])
    two = service("two", externalIPs=["198.51.100.7"], clusterIP="10.96.0.2", clusterIPs=["10.96.0.2"])
    both, none, only_two = (compile_all(s, [], A) for s in ([two, one], [], [two]))
    assert "198.51.100.7 . tcp . 80 : goto external/default/one" in nft.full(both)
    assert "198.51.100.7 . tcp . 80 : goto external/default/two" not in nft.full(both)
    assert nft.diff(none, both) == nft.renewed(both, nft.names_of(none))
    assert nft.diff(both, only_two) == nft.renewed(only_two, nft.names_of(both))


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def rules(*ips: str, **spec: Any) -> Ruleset:
    return compile_all([service(**spec)], [slice_of(*(endpoint(ip) for ip in ips))], A)


def test_a_changed_endpoint_touches_one_chain_only() -> None:
    assert nft.diff(rules("10.244.0.2"), rules("10.244.0.2", "10.244.0.3")).splitlines() == [
        "add chain ip sampan internal/default/web/tcp/80",
        "flush chain ip sampan internal/default/web/tcp/80",
        "add rule ip sampan internal/default/web/tcp/80 meta l4proto tcp dnat to numgen random mod 2 map "
        "{ 0 : 10.244.0.2 . 8080, 1 : 10.244.0.3 . 8080 }",
        # without a map: see nft.py
        "add rule ip sampan internal/default/web/tcp/80 meta l4proto tcp dnat to 10.244.0.2:8080",
    ]
    assert nft.diff(rules("10.244.0.2"), rules("10.244.0.2")) == ""


def test_a_service_goes_in_the_order_nft_accepts() -> None:
    assert nft.diff(rules("10.244.0.2"), Ruleset(A)).splitlines() == [
        "delete element ip sampan service-ips { 10.96.0.50 . tcp . 80 : goto internal/default/web/tcp/80 }",
        "delete element ip sampan cluster-ips { 10.96.0.50 }",
        "flush chain ip sampan internal/default/web/tcp/80",
        "delete chain ip sampan internal/default/web/tcp/80",
    ]


def test_affinity_keeps_the_clients_of_targets_that_stay() -> None:
    text = nft.diff(
        rules("10.244.0.2", "10.244.0.3", sessionAffinity="ClientIP"),
        rules("10.244.0.2", sessionAffinity="ClientIP"),
    )
    assert "delete set ip sampan internal/default/web/tcp/80/10.244.0.3/8080/10800s" in text
    assert "delete set ip sampan internal/default/web/tcp/80/10.244.0.2/8080/10800s" not in text
    assert "flush set" not in text
