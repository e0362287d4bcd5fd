"""Service proxy: throughput through a ClusterIP, and how fast a change of 1,000 Services' rules is in force.

Two nodes' network in a namespace of our own, client and server pods on one node, 1,000 Services loaded. Every round
measures each way once, in turn: the pod's address with no rules at all, the same with ours loaded, a ClusterIP through
ours, and a ClusterIP through a table of the shape kube-proxy 1.33 writes in nftables mode. Load is made by two Python
processes: 16 connections kept and each asked in turn (the kernel's path is most of the work), or a new one each time.
The product's goal: not below kube-proxy's shape in the same run, and Service write to first connection under 20 ms.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop
from common import Row, row
from proxylab import Lab, connect, endpoint_slice, lab, service

from sampan.api.meta import Obj
from sampan.base.clock import SystemClock
from sampan.base.netns import inside
from sampan.serviceproxy import nft
from sampan.serviceproxy.rules import compile_all
from sampan.serviceproxy.sync import ServiceProxy

SERVICES, ROUNDS, SECONDS, CHANGES = 1000, 5, 1.0, 31

SERVER = """
import select, socket, sys
listener = socket.create_server((sys.argv[1], 80), backlog=4096)
listener.setblocking(False)
poll, open_ = select.epoll(), {}
poll.register(listener, select.EPOLLIN)
print("ready", flush=True)
while True:
    for fd, _ in poll.poll():
        if fd == listener.fileno():
            try:
                new, _ = listener.accept()
            except OSError:
                continue
            new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            open_[new.fileno()] = new
            poll.register(new, select.EPOLLIN)
            continue
        try:
            data = open_[fd].recv(64)
            if data:
                open_[fd].send(data)
        except OSError:
            data = b""
        if not data:
            poll.unregister(fd)
            open_.pop(fd).close()
"""

CLIENT = """
import socket, struct, sys, time
address, seconds, fresh = (sys.argv[1], 80), float(sys.argv[2]), sys.argv[3] == "new"
def dial():
    made = socket.create_connection(address, 5)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return made
kept = [] if fresh else [dial() for _ in range(16)]
done, end = 0, time.perf_counter() + seconds
while time.perf_counter() < end:
    batch = [dial()] if fresh else kept
    for one in batch:
        one.send(b"?")
    for one in batch:
        one.recv(64)
    done += len(batch)
    if fresh:
        batch[0].close()
print(done / seconds)
"""


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="spt-") as directory:
        run = Path(directory) / "spt-proxy"
        run.mkdir()
        with lab(run) as net:
            return throughput(net) + latency(net)


def many(net: Lab) -> tuple[list[Obj], list[Obj]]:
    """The Services, the first of which is the server's."""
    services, slices = [], []
    for number in range(SERVICES):
        vip = f"10.97.{1 + number // 250}.{1 + number % 250}"
        services.append(service(f"s{number}", clusterIP=vip, clusterIPs=[vip]))
        addresses = {net.ip("a", 3): "a"} if number == 0 else {net.ip("a", 3): "a", net.ip("b", 3): "b"}
        slices.append(endpoint_slice(addresses, f"s{number}"))
    return services, slices


# ── throughput ───────────────────────────────────────────────────────────────────────────────────────────────────────


def throughput(net: Lab) -> list[Row]:
    client, server, ip = net.pod("a", 2), net.pod("a", 3), net.ip("a", 3)
    services, slices = many(net)
    vip = services[0]["spec"]["clusterIP"]
    ours = nft.full(compile_all(services, slices, net.facts("a")))
    theirs = kube_proxy_shape(services, slices, net.plan.pod_cidr, net.plan.service_cidr)
    clear = "add table ip sampan\ndelete table ip sampan\nadd table ip kube-proxy\ndelete table ip kube-proxy\n"
    ways = {
        "pod address, no rules": (clear, ip),
        "pod address, our rules loaded": (clear + ours, ip),
        "ClusterIP, our rules": (clear + ours, vip),
        "ClusterIP, kube-proxy's shape": (clear + theirs, vip),
    }
    rows: list[Row] = []
    with inside(server):
        serving = subprocess.Popen([sys.executable, "-c", SERVER, ip], stdout=subprocess.PIPE)
    try:
        assert serving.stdout
        assert serving.stdout.readline()
        for kind in ("kept", "new"):
            found: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(ROUNDS):
                for way, (rules, address) in ways.items():
                    net.nft("a", rules)
                    found[way].append(load(client, address, kind))
            direct = found["pod address, no rules"]
            for way, samples in found.items():
                ratio = statistics.median(a / b for a, b in zip(samples, direct, strict=True))
                rows.append(row(f"{kind} connections: {way}", samples, "req/s", f"ratio {ratio:.2f}"))
    finally:
        serving.kill()
        serving.wait()
        net.nft("a", clear)
    return rows


def load(netns: Path, address: str, kind: str) -> float:
    with inside(netns):
        done = subprocess.run(
            [sys.executable, "-c", CLIENT, address, str(SECONDS), kind], capture_output=True, check=True
        )
    return float(done.stdout)


def kube_proxy_shape(services: list[Obj], slices: list[Obj], pods: str, vips: str) -> str:
    """A table with the hooks, checks and chains a packet meets in kube-proxy's nftables mode."""
    add = "add {} ip kube-proxy {}".format
    mark = "meta mark set meta mark or 0x4000"
    lines = ["add table ip kube-proxy", add("set", "cluster-ips { type ipv4_addr; }")]
    for name in ("service-ips", "no-endpoint-services"):
        lines.append(add("map", f"{name} {{ type ipv4_addr . inet_proto . inet_service : verdict; }}"))
    for name in ("service-nodeports", "no-endpoint-nodeports"):
        lines.append(add("map", f"{name} {{ type inet_proto . inet_service : verdict; }}"))
    chains = {
        "mark-it": [mark],
        "endpoints-check": [
            "ip daddr . meta l4proto . th dport vmap @no-endpoint-services",
            "fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @no-endpoint-nodeports",
        ],
        "cluster-ips-check": ["ip daddr @cluster-ips reject", f"ip daddr {vips} drop"],
        "services": [
            "ip daddr . meta l4proto . th dport vmap @service-ips",
            "fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-nodeports",
        ],
        "masquerading": ["meta mark and 0x4000 == 0 return", "meta mark set meta mark xor 0x4000", "masquerade"],
        "filter-input { type filter hook input priority -110; }": ["ct state new jump endpoints-check"],
        "filter-forward { type filter hook forward priority -110; }": [
            "ct state new jump endpoints-check",
            "ct state new jump cluster-ips-check",
        ],
        "filter-output { type filter hook output priority -110; }": ["ct state new jump endpoints-check"],
        "filter-output-after { type filter hook output priority -90; }": ["ct state new jump cluster-ips-check"],
        "nat-prerouting { type nat hook prerouting priority dstnat; }": ["jump services"],
        "nat-output { type nat hook output priority -100; }": ["jump services"],
        "nat-postrouting { type nat hook postrouting priority srcnat; }": ["jump masquerading"],
    }
    elements: list[str] = []
    for one, entry in zip(services, slices, strict=True):
        vip, name = one["spec"]["clusterIP"], one["metadata"]["name"]
        ips = [endpoint["addresses"][0] for endpoint in entry["endpoints"]]
        for ip in ips:
            chains[f"endpoint-{name}-{ip}"] = [f"ip saddr {ip} jump mark-it", f"meta l4proto tcp dnat to {ip}:80"]
        choices = ", ".join(f"{i} : goto endpoint-{name}-{ip}" for i, ip in enumerate(ips))
        chains[f"service-{name}"] = [
            f"ip daddr {vip} tcp dport 80 ip saddr != {pods} jump mark-it",
            f"numgen random mod {len(ips)} vmap {{ {choices} }}",
        ]
        elements.append(add("element", f"service-ips {{ {vip} . tcp . 80 : goto service-{name} }}"))
        elements.append(add("element", f"cluster-ips {{ {vip} }}"))
    lines += [add("chain", head) for head in chains]
    lines += [add("rule", f"{head.split()[0]} {rule}") for head, rules in chains.items() for rule in rules]
    return "\n".join([*lines, *elements]) + "\n"


# ── latency of a change ──────────────────────────────────────────────────────────────────────────────────────────────


def latency(net: Lab) -> list[Row]:
    net.tcp(net.plan.run / f"pod-{net.ip('a', 3)}.net", net.ip("a", 3))
    client = net.plan.run / f"pod-{net.ip('a', 2)}.net"

    def until_connected(vip: str) -> float:
        while True:
            try:
                connect(client, (vip, 80), seconds=0.001).close()
            except OSError:
                continue
            return time.perf_counter()

    with inside(net.node("a")):
        return uvloop.run(changes(net, until_connected))


async def changes(net: Lab, until_connected: Callable[[str], float]) -> list[Row]:
    services, slices = many(net)
    proxy = ServiceProxy(net.facts("a"), SystemClock())
    for one, entry in zip(services, slices, strict=True):
        proxy.service_changed(None, one)
        proxy.slice_changed(None, entry)
    began = time.perf_counter()
    task = asyncio.create_task(proxy.run())
    await proxy.wait_synced()
    whole = time.perf_counter() - began
    created, drained = [], []
    for number in range(CHANGES):
        vip = f"10.97.100.{1 + number}"
        fresh = service(f"new{number}", clusterIP=vip, clusterIPs=[vip])
        began = time.perf_counter()
        connecting = asyncio.create_task(asyncio.to_thread(until_connected, vip))
        proxy.service_changed(None, fresh)
        entry = endpoint_slice({net.ip("a", 3): "a"}, f"new{number}")
        proxy.slice_changed(None, entry)
        created.append(1000 * (await connecting - began))
        await asyncio.sleep(0.03)
        extra = net.ip("b", 99)
        proxy.slice_changed(None, endpoint_slice({net.ip("a", 3): "a", extra: "b"}, f"new{number}"))
        await asyncio.sleep(0.05)
        began = time.perf_counter()
        proxy.slice_changed(None, entry)
        await proxy.caught_up()
        drained.append(1000 * (time.perf_counter() - began))
    task.cancel()
    return [
        row(f"{SERVICES} Services: all rules at once", [1000 * whole], "ms"),
        row(f"{SERVICES} Services: new Service to first connection", created, "ms"),
        row(f"{SERVICES} Services: endpoint gone, reported in force", drained, "ms", "nft waits for RCU after commit"),
    ]
