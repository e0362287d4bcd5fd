"""The cluster's network on a kernel, with a namespace of our own in the role of the host."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.base.netns import CLONE_NEWNET, inside, setns, unpin, unshare
from sampan.node.network import NetworkPlan, ensure_cluster_network, leftovers, links, remove_cluster_network


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[NetworkPlan]:
    """A plan; the test runs in a fresh namespace that plays the host. What it pins is unpinned, come what may."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    unshare(CLONE_NEWNET)
    plan = NetworkPlan("spt-net", 7, ("a", "b"), tmp_path / "spt-net")
    plan.run.mkdir()
    try:
        sh("ip link set lo up")
        yield plan
    finally:
        try:
            remove_cluster_network(plan)
        finally:
            setns(home, CLONE_NEWNET)
            os.close(home)


def sh(command: str) -> str:
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


def snapshot() -> str:
    """Everything the cluster may change in the host's namespace, as text."""
    commands = "ip -br link; ip -4 -o addr; ip -4 route show table all; nft list ruleset"
    return sh(f"{commands}; cat /proc/sys/net/ipv4/ip_forward")


def test_hosts_and_nodes_reach_each_other(plan: NetworkPlan) -> None:
    ensure_cluster_network(plan)
    with inside(plan.node_netns("a")):
        from_a = socket.socket()
    from_host = socket.socket()
    with inside(plan.node_netns("b")):
        listener = socket.create_server((plan.node_gateway("b"), 0))
    for client, expected in ((from_a, plan.node_ip("a")), (from_host, plan.host_ip)):
        client.settimeout(3)
        client.connect(listener.getsockname())
        connection, peer = listener.accept()
        assert peer[0] == expected
        connection.close()
        client.close()
    listener.close()


def test_settings_of_a_node(plan: NetworkPlan) -> None:
    ensure_cluster_network(plan)
    with inside(plan.node_netns("a")):
        found = {name: Path("/proc/sys", name).read_text().strip() for name in links.NODE_SYSCTLS}
    assert found == links.NODE_SYSCTLS


def test_leaving_the_cluster_is_masqueraded(plan: NetworkPlan, tmp_path: Path) -> None:
    ensure_cluster_network(plan)
    outside = tmp_path / "outside.net"
    links._ensure_netns(outside, {})
    try:
        sh(f"ip link add spt-out type veth peer name eth0 netns {outside}")
        sh("ip addr add 198.51.100.1/24 dev spt-out && ip link set spt-out up")
        with inside(outside):
            sh("ip addr add 198.51.100.2/24 dev eth0 && ip link set eth0 up")
            listener = socket.create_server(("198.51.100.2", 0))
        with inside(plan.node_netns("a")), socket.socket() as client:
            client.settimeout(3)
            client.bind((plan.node_gateway("a"), 0))
            client.connect(listener.getsockname())
            assert listener.accept()[1][0] == "198.51.100.1"
        listener.close()
    finally:
        unpin(outside)
        sh("ip link del spt-out")


def test_node_ports_answer_on_the_hosts_addresses(plan: NetworkPlan) -> None:
    ensure_cluster_network(plan)
    sh(f"nft add element ip {plan.host_table} nodeports '{{ tcp . 30080 }}'")
    ensure_cluster_network(plan)  # keeps the element
    with inside(plan.node_netns("a")):
        listener = socket.create_server((plan.node_ip("a"), 30080))
    for address in ("127.0.0.1", plan.host_ip):
        with socket.create_connection((address, 30080), timeout=3):
            assert listener.accept()[1][0] == plan.host_ip
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 30081), timeout=3)
    listener.close()


def test_twice_is_once_and_connections_stay(plan: NetworkPlan) -> None:
    ensure_cluster_network(plan)
    before = snapshot()
    with inside(plan.node_netns("b")):
        listener = socket.create_server((plan.node_ip("b"), 0))
    client = socket.create_connection(listener.getsockname(), timeout=3)
    server, _ = listener.accept()
    ensure_cluster_network(plan)
    assert snapshot() == before
    client.sendall(b"still here")
    assert server.recv(99) == b"still here"
    for end in (client, server, listener):
        end.close()


def test_removal_leaves_no_trace(plan: NetworkPlan) -> None:
    before = snapshot()
    ensure_cluster_network(plan)
    assert snapshot() != before
    assert leftovers([plan]) == []
    assert leftovers([]) == ["link sp7-lan", "nft table ip sampan-spt-net"]
    remove_cluster_network(plan)
    remove_cluster_network(plan)
    assert snapshot() == before
    assert list(plan.run.iterdir()) == []
    assert str(plan.run) not in Path("/proc/self/mounts").read_text()


@pytest.mark.parametrize("steps", range(1, 8))
def test_removal_and_repair_after_being_killed_half_way(
    plan: NetworkPlan, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot()
    calls = iter(range(99))
    real = links.run_now

    def dies(argv: list[str], stdin: bytes = b"") -> bytes:
        if next(calls) == steps - 1:
            raise KeyboardInterrupt
        return real(argv, stdin)

    with monkeypatch.context() as patch:
        patch.setattr(links, "run_now", dies)
        patch.setattr(links.host, "run_now", dies)
        try:
            ensure_cluster_network(plan)
        except KeyboardInterrupt:
            pass
    if steps % 2:
        ensure_cluster_network(plan)
        with inside(plan.node_netns("a")):
            listener = socket.create_server((plan.node_ip("a"), 0))
        socket.create_connection(listener.getsockname(), timeout=3).close()
        listener.close()
    remove_cluster_network(plan)
    assert snapshot() == before


def test_a_held_namespace_does_not_keep_the_links(plan: NetworkPlan) -> None:
    ensure_cluster_network(plan)
    with inside(plan.node_netns("a")):
        held = subprocess.Popen(["sleep", "60"])
    try:
        path = f"/proc/{held.pid}/ns/net"
        remove_cluster_network(plan)
        with inside(path):
            assert {name for _, name in socket.if_nameindex()} == {"lo"}
        started = time.monotonic()
        ensure_cluster_network(plan)
        assert time.monotonic() - started < 2
    finally:
        held.kill()
        held.wait()
