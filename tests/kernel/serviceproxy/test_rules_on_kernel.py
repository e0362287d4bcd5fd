"""The rules do on a kernel what they say: two nodes, plain pods, tiny servers."""

from __future__ import annotations

import asyncio
import collections
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from proxylab import VIP, Lab, ask, connect, endpoint_slice, lab, service

from sampan.api.meta import Obj
from sampan.base.clock import SystemClock
from sampan.base.netns import inside
from sampan.serviceproxy import conntrack, nft
from sampan.serviceproxy.hostclaims import HostClaims
from sampan.serviceproxy.hostports import HostPorts
from sampan.serviceproxy.lbroutes import LbRoutes
from sampan.serviceproxy.model import Ruleset
from sampan.serviceproxy.rules import compile_all
from sampan.serviceproxy.sync import ServiceProxy
from sampan.serviceproxy.there import names

HERE = "/proc/thread-self/ns/net"


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    run = tmp_path_factory.mktemp("run") / "spt-proxy"
    run.mkdir()
    with lab(run) as made:
        yield Cluster(made)
        listed = Path("/proc/self/mounts").read_text()
    assert str(run) in listed
    assert str(run) not in Path("/proc/self/mounts").read_text()


class Cluster:
    """Pods .2 and .3 on node a, .4 on node b, all with a TCP and a UDP server; rules on both nodes."""

    def __init__(self, made: Lab) -> None:
        self.lab = made
        self.a2, self.a3, self.b4 = made.ip("a", 2), made.ip("a", 3), made.ip("b", 4)
        self.pods = {self.a2: made.pod("a", 2), self.a3: made.pod("a", 3), self.b4: made.pod("b", 4)}
        self.everywhere = {self.a2: "a", self.a3: "a", self.b4: "b"}
        for ip, netns in self.pods.items():
            made.tcp(netns, ip)
            made.udp(netns, ip)
        self.machine = made.machine()
        self.rules: dict[str, Ruleset] = {}

    def apply(self, services: list[Obj], slices: list[Obj]) -> None:
        """Make it so on both nodes: the first time as a whole, then by the difference."""
        for node in ("a", "b"):
            new = compile_all(services, slices, self.lab.facts(node))
            old = self.rules.get(node)
            text = nft.diff(old, new) if old else nft.full(new)
            if text:
                self.lab.nft(node, text)
            self.rules[node] = new

    def listing(self, node: str) -> str:
        with inside(self.lab.node(node)):
            return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def test_a_virtual_ip_balances(net: Cluster) -> None:
    net.apply([service()], [endpoint_slice(net.everywhere)])
    count = collections.Counter(ask(net.pods[net.a2], VIP)[0] for _ in range(300))
    assert set(count) == set(net.everywhere)
    # chi-square with 2 degrees of freedom: above 18.4 one time in 10,000
    assert sum((seen - 100) ** 2 / 100 for seen in count.values()) < 18.4


def test_pods_keep_their_address_across_nodes(net: Cluster) -> None:
    net.apply([service()], [endpoint_slice({net.b4: "b"})])
    assert ask(net.pods[net.a2], VIP) == (net.b4, net.a2)


def test_isolated_neighbours_on_one_node(net: Cluster) -> None:
    net.apply([service()], [endpoint_slice({net.a3: "a"})])
    assert ask(net.pods[net.a2], VIP) == (net.a3, net.a2)
    assert ask(net.pods[net.a2], net.a3) == (net.a3, net.a2)


def test_hairpin(net: Cluster) -> None:
    net.apply([service()], [endpoint_slice({net.a2: "a"})])
    assert ask(net.pods[net.a2], VIP) == (net.a2, net.lab.plan.node_gateway("a"))


def test_host_and_nodes_reach_virtual_ips(net: Cluster) -> None:
    plan = net.lab.plan
    net.apply([service()], [endpoint_slice({net.b4: "b"})])
    assert ask(HERE, VIP) == (net.b4, plan.node_ip("a"))
    assert ask(net.lab.node("a"), VIP) == (net.b4, plan.node_ip("a"))
    assert ask(net.lab.node("b"), VIP) == (net.b4, plan.node_gateway("b"))


def test_node_port_from_the_host(net: Cluster) -> None:
    plan = net.lab.plan
    published = service(type="NodePort", ports=[{"port": 80, "protocol": "TCP", "nodePort": 30080}])
    net.apply([published], [endpoint_slice({net.b4: "b"})])

    asyncio.run(publish(HostPorts(plan.host_table, SystemClock()), published))
    for address in ("127.0.0.1", plan.host_ip, plan.node_ip("a"), plan.node_ip("b")):
        assert ask(HERE, address, 30080)[0] == net.b4
    assert ask(net.pods[net.a2], plan.node_ip("b"), 30080)[0] == net.b4
    assert ask(net.pods[net.a2], plan.host_ip, 30080)[0] == net.b4


async def publish(ports: HostPorts, published: Obj) -> None:
    ports.service_changed(None, published)
    task = asyncio.create_task(ports.run())
    while not ports.synced():
        await asyncio.sleep(0.002)
    task.cancel()


def test_host_ports_lead_to_a_load_balancer(net: Cluster) -> None:
    plan, ip = net.lab.plan, "172.30.1.129"
    balanced = service(type="LoadBalancer", externalTrafficPolicy="Local")
    balanced["metadata"]["annotations"] = {"sampan.io/host-ports": "8080:80,8053:53"}
    balanced["spec"]["ports"] = [{"port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"}]}}
    here = endpoint_slice({net.a2: "a"})
    here["ports"].append({"name": "dns", "port": 53, "protocol": "UDP"})
    net.apply([balanced], [here])
    with asyncio.Runner() as runner:
        claims = HostClaims()
        runner.run(publish(HostPorts(plan.host_table, SystemClock(), claims=claims), balanced))
        _ask_host_ports(net)
        runner.run(publish(HostPorts(plan.host_table, SystemClock(), claims=claims), service()))
    with pytest.raises(ConnectionRefusedError):
        connect(HERE, ("127.0.0.1", 8080), seconds=1)
    socket.create_server(("198.51.100.1", 8080)).close()


def _ask_host_ports(net: Cluster) -> None:
    plan = net.lab.plan
    assert ask(net.machine, "198.51.100.1", 8080) == (net.a2, "198.51.100.2")  # another machine keeps its address
    assert ask(HERE, "127.0.0.1", 8080) == (net.a2, plan.host_ip)
    assert ask(HERE, "198.51.100.1", 8080) == (net.a2, "198.51.100.1")
    assert ask(net.pods[net.a3], plan.host_ip, 8080) == (net.a2, plan.host_ip)
    assert ask(net.pods[net.b4], "198.51.100.1", 8080)[0] == net.a2
    with inside(net.machine), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.connect(("198.51.100.1", 8053))
        client.send(b"?")
        assert client.recv(99).decode() == f"{net.a2} 198.51.100.2"
    with pytest.raises(ConnectionRefusedError):
        connect(net.machine, ("198.51.100.1", 8081), seconds=1)
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("198.51.100.1", 8080))


def test_external_policy_local_keeps_the_client_or_drops(net: Cluster) -> None:
    plan = net.lab.plan
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30081}]
    net.apply([service(type="NodePort", ports=ports, externalTrafficPolicy="Local")], [endpoint_slice({net.b4: "b"})])
    assert ask(HERE, plan.node_ip("b"), 30081) == (net.b4, plan.host_ip)
    with pytest.raises(TimeoutError):
        connect(HERE, (plan.node_ip("a"), 30081), seconds=0.3)
    assert ask(net.pods[net.a2], plan.node_ip("a"), 30081) == (net.b4, net.a2)  # the cluster's own traffic


@pytest.mark.parametrize("source", ["pod", "node", "host"])
def test_refusals(net: Cluster, source: str) -> None:
    start = {"pod": net.pods[net.a2], "node": net.lab.node("a"), "host": HERE}[source]
    published = service(type="NodePort", ports=[{"port": 80, "protocol": "TCP", "nodePort": 30082}])
    net.apply([published], [])
    for address in ((VIP, 80), (VIP, 81), (net.lab.plan.node_ip("a"), 30082)):
        with pytest.raises(ConnectionRefusedError):
            connect(start, address, seconds=1)
    with pytest.raises(OSError):
        connect(start, ("10.97.0.51", 80), seconds=0.2)


def test_session_affinity_stays_until_the_endpoint_leaves(net: Cluster) -> None:
    sticky = service(sessionAffinity="ClientIP")
    net.apply([sticky], [endpoint_slice(net.everywhere)])
    first = {ask(net.pods[net.a2], VIP)[0] for _ in range(20)}
    assert len(first) == 1
    net.apply([sticky], [endpoint_slice({ip: n for ip, n in net.everywhere.items() if ip not in first})])
    second = {ask(net.pods[net.a2], VIP)[0] for _ in range(20)}
    assert len(second) == 1
    assert second != first
    net.apply([sticky], [endpoint_slice(net.everywhere)])
    assert {ask(net.pods[net.a2], VIP)[0] for _ in range(20)} == second


def test_an_open_connection_outlives_its_endpoint(net: Cluster) -> None:
    net.apply([service()], [endpoint_slice({net.b4: "b"})])
    with connect(net.pods[net.a2], (VIP, 80)) as client:
        net.apply([service()], [endpoint_slice({net.a3: "a"})])
        assert ask(net.pods[net.a2], VIP)[0] == net.a3
        net.apply([], [])
        client.sendall(b"?")
        assert client.recv(99).decode() == f"{net.b4} {net.a2}"


def test_udp_follows_its_endpoints_on_one_socket(net: Cluster) -> None:
    dns = service(ports=[{"port": 53, "protocol": "UDP"}])
    with inside(net.pods[net.a2]):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.settimeout(2)
        client.connect((VIP, 53))

        def answers() -> str:
            client.send(b"?")
            return client.recv(99).decode().split()[0]

        net.apply([dns], [endpoint_slice({net.b4: "b"}, port=53, protocol="UDP")])
        assert answers() == net.b4
        before = net.rules["a"]
        net.apply([dns], [endpoint_slice({net.a3: "a"}, port=53, protocol="UDP")])
        assert answers() == net.b4  # the kernel remembers
        with inside(net.lab.node("a")):
            assert conntrack.forget_now(conntrack.changed_flows(before, net.rules["a"])) == 1
        assert answers() == net.a3
        with inside(net.lab.node("a")):
            assert conntrack.forget_now(conntrack.changed_flows(before, net.rules["a"])) == 0


def test_load_balancers_from_everywhere(net: Cluster) -> None:
    """The host, pods, nodes and a machine that routes through the host reach it; what nobody has is refused at once."""
    plan, ip, nobody = net.lab.plan, "172.30.1.129", "172.30.1.130"
    balanced = service(type="LoadBalancer")
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"}]}}
    net.apply([balanced], [endpoint_slice({net.b4: "b"})])
    machine = net.machine
    for start in (HERE, machine, net.pods[net.a2], net.pods[net.b4], net.lab.node("a"), net.lab.node("b")):
        assert ask(start, ip)[0] == net.b4
        for address in ((ip, 81), (nobody, 80)):
            with pytest.raises(ConnectionRefusedError):
                connect(start, address, seconds=1)
    balanced["spec"] |= {"externalTrafficPolicy": "Local"}
    net.apply([balanced], [endpoint_slice({net.b4: "b", net.a2: "a"})])
    assert ask(machine, ip) == (net.a2, "198.51.100.2")  # node 0 has an endpoint
    assert ask(HERE, ip) == (net.a2, plan.host_ip)
    balanced["spec"] |= {"loadBalancerSourceRanges": ["198.51.100.0/24"]}
    net.apply([balanced], [endpoint_slice({net.b4: "b", net.a2: "a"})])
    assert ask(machine, ip) == (net.a2, "198.51.100.2")
    with pytest.raises(TimeoutError):
        connect(HERE, (ip, 80), seconds=0.3)


def test_a_local_load_balancer_is_routed_to_a_node_that_has_an_endpoint(net: Cluster) -> None:
    plan, ip = net.lab.plan, "172.30.1.129"
    balanced = service(type="LoadBalancer", externalTrafficPolicy="Local")
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"}]}}
    only_b = endpoint_slice({net.b4: "b"})
    net.apply([balanced], [only_b])
    static = routes(plan.lb_cidr)
    assert static == f"{plan.lb_cidr} via {plan.node_ip('a')} dev sp1-lan"
    for wanted in ([only_b], [endpoint_slice(net.everywhere)]):  # the second time by a new process: the route stays
        asyncio.run(settled(LbRoutes("sp1-lan", {n: net.lab.facts(n) for n in "ab"}, SystemClock()), balanced, wanted))
        assert f"{ip} via {plan.node_ip('b')} dev sp1-lan proto 83" in routes(plan.lb_cidr)
        assert ask(net.machine, ip) == (net.b4, "198.51.100.2")
        assert ask(HERE, ip) == (net.b4, plan.host_ip)
    net.apply([balanced], [])
    asyncio.run(settled(LbRoutes("sp1-lan", {n: net.lab.facts(n) for n in "ab"}, SystemClock()), balanced, []))
    assert routes(plan.lb_cidr) == static
    with pytest.raises(ConnectionRefusedError):
        connect(net.machine, (ip, 80), seconds=1)


async def settled(lb_routes: LbRoutes, balanced: Obj, slices: list[Obj]) -> None:
    lb_routes.service_changed(None, balanced)
    for entry in slices:
        lb_routes.slice_changed(None, entry)
    task = asyncio.create_task(lb_routes.run())
    while not lb_routes.synced():
        await asyncio.sleep(0.002)
    task.cancel()


def routes(cidr: str) -> str:
    found = subprocess.run(["ip", "route", "show", "root", cidr], capture_output=True, text=True, check=True).stdout
    return "\n".join(line.strip() for line in found.splitlines())


def test_source_ranges_and_load_balancer_address(net: Cluster) -> None:
    balanced = service(type="LoadBalancer", loadBalancerSourceRanges=["10.243.0.0/24", "10.243.0.0/16"])
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}]}}
    net.apply([balanced], [endpoint_slice({net.b4: "b"})])
    assert ask(net.pods[net.a2], "198.51.100.7")[0] == net.b4
    with pytest.raises(TimeoutError):
        connect(net.lab.node("a"), ("198.51.100.7", 80), seconds=0.3)


def test_differences_add_up_to_the_whole(net: Cluster) -> None:
    """Through many states by differences, back to nothing: the kernel's table equals the one made as a whole."""
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30083}]
    states: list[tuple[list[Obj], list[Obj]]] = [
        ([service()], [endpoint_slice(net.everywhere)]),
        ([service(type="NodePort", ports=ports, sessionAffinity="ClientIP")], [endpoint_slice(net.everywhere)]),
        ([service(type="NodePort", ports=ports, externalTrafficPolicy="Local")], [endpoint_slice({net.a2: "a"})]),
        ([service(sessionAffinity="ClientIP", externalIPs=["198.51.100.9"])], [endpoint_slice({net.a2: "a"})]),
        ([service(), service("other", clusterIP="10.97.0.60", clusterIPs=["10.97.0.60"])], []),
        ([], []),
    ]
    for services, slices in states:
        net.apply(services, slices)
        by_difference = blocks(net.listing("a"))
        net.lab.nft("a", nft.full(net.rules["a"]))
        assert by_difference == blocks(net.listing("a"))
        net.lab.nft("a", renewed(net, "a"))
        assert by_difference == blocks(net.listing("a"))


def blocks(listing: str) -> list[str]:
    """Sets and chains as text, in an order of our own; elements in the kernel's."""
    return sorted(block.strip("\n\t}") for block in listing.replace("\tset ", "\tchain ").split("\tchain "))


def renewed(net: Cluster, node: str) -> str:
    """After other rules than these were in force: what they had goes."""
    other = compile_all(
        [service("old", sessionAffinity="ClientIP")], [endpoint_slice(net.everywhere, "old")], net.lab.facts(node)
    )
    net.lab.nft(node, nft.full(other))
    with inside(net.lab.node(node)):
        there = asyncio.run(names())
    assert there == nft.names_of(other)
    return nft.renewed(net.rules[node], there)


def test_no_new_connection_slips_through_while_rules_change(net: Cluster) -> None:
    """Every packet of many new flows is translated, however often the chains are filled anew or the table renewed."""
    ports = [{"port": 53, "protocol": "UDP"}]
    wide = {f"192.0.2.{last}": "b" for last in range(1, 4)}
    plain, sticky = service(ports=ports), service(ports=ports, sessionAffinity="ClientIP")
    facts = net.lab.facts("a")
    states = [(plain, wide), (plain, dict(list(wide.items())[:2])), (sticky, wide), (plain, wide)]
    rules = [compile_all([each], [endpoint_slice(to, port=53, protocol="UDP")], facts) for each, to in states]
    texts = [nft.diff(before, after) for before, after in pairwise(rules)]
    texts.append(nft.renewed(rules[0], nft.names_of(rules[0])))
    net.lab.nft("a", nft.full(rules[0]) + SLIPPED)
    stop = threading.Event()
    flood = threading.Thread(target=new_flows, args=(net.pods[net.a2], stop))
    flood.start()
    try:
        with inside(net.lab.node("a")):
            Path("/proc/sys/net/netfilter/nf_conntrack_udp_timeout").write_text("1")
            end = time.monotonic() + 5
            while time.monotonic() < end:
                for text in texts:
                    subprocess.run(["nft", "-f", "-"], input=text.encode(), check=True)
            counted = subprocess.run(["nft", "list", "table", "ip", "spt-slipped"], capture_output=True, text=True)
    finally:
        stop.set()
        flood.join()
        net.lab.nft("a", "delete table ip spt-slipped\ndelete table ip sampan\n")
        net.rules.clear()
    all_seen, slipped = re.findall(r"packets (\d+)", counted.stdout)
    assert int(all_seen) > 1000
    assert slipped == "0"


SLIPPED = f"""
add table ip spt-slipped
add chain ip spt-slipped before {{ type filter hook prerouting priority raw; }}
add rule ip spt-slipped before ip daddr {VIP} counter
add chain ip spt-slipped after {{ type filter hook forward priority 0; }}
add rule ip spt-slipped after ip daddr {VIP} counter
"""


def new_flows(netns: Path, stop: threading.Event) -> None:
    while not stop.is_set():
        with inside(netns):
            for _ in range(100):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.sendto(b"?", (VIP, 53))


def test_a_restarted_proxy_adopts_and_a_damaged_table_heals(net: Cluster) -> None:
    """The proxy with the real nft: an open connection outlives both a new proxy and the loss of the whole table."""
    facts = net.lab.facts("a")

    async def proxy_for(first: dict[str, str], *then: dict[str, str], between: Callable[[], object] = bool) -> None:
        proxy = ServiceProxy(facts, SystemClock())
        proxy.service_changed(None, service())
        task = asyncio.create_task(proxy.run())
        try:
            for addresses in (first, *then):
                if addresses is not first:
                    between()
                proxy.slice_changed(None, endpoint_slice(addresses))
                await proxy.wait_synced()
                while proxy.rules.targets() != set(addresses):
                    await asyncio.sleep(0.005)
        finally:
            task.cancel()

    def destroy() -> None:
        subprocess.run(["nft", "delete", "table", "ip", "sampan"], check=True)

    with inside(net.lab.node("a")):
        asyncio.run(proxy_for({net.b4: "b"}))
        with connect(net.pods[net.a2], (VIP, 80)) as client:
            asyncio.run(proxy_for({net.b4: "b"}, {net.a3: "a"}, between=destroy))
            client.sendall(b"?")
            assert client.recv(99).decode().split()[0] == net.b4
            asyncio.run(proxy_for({net.a3: "a"}))
            client.sendall(b"?")
            assert client.recv(99).decode().split()[0] == net.b4
        assert ask(net.pods[net.a2], VIP)[0] == net.a3
    net.rules.clear()
