"""Namespaces, links, addresses and routes of a cluster: made by `ip -batch`, one short script a namespace."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

from sampan.base.errors import ProcessError
from sampan.base.netns import CLONE_NEWNET, inside, pin, setns, unpin, unshare
from sampan.base.proc import run_now
from sampan.node.network import host
from sampan.node.network.plan import LAN_LINK, POD_BRIDGE, NetworkPlan

BRIDGE = "lan"
HOST_PORT = "host"

# Written before the namespace has links, so that `default` reaches all of them.
# bridge-nf-call-*: only there while br_netfilter is loaded. tcp_be_liberal: a packet outside the window of a translated
# connection is passed on rather than answered with a reset. tcp_timestamps 2: no per-address offsets, else a client
# that meets one backend both directly and through a virtual IP looks like an old duplicate to it (PAWS, RFC 7323 5.8).
NODE_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "2",
    "net/ipv4/conf/default/rp_filter": "2",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/ipv4/tcp_timestamps": "2",
    "net/ipv4/ip_unprivileged_port_start": "0",
    "net/netfilter/nf_conntrack_tcp_be_liberal": "1",
    "net/netfilter/nf_conntrack_tcp_timeout_established": "86400",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait": "3600",
}
LAN_SYSCTLS = {"net/ipv6/conf/default/disable_ipv6": "1"}
NO_BRIDGE_NETFILTER = {f"net/bridge/bridge-nf-call-{kind}": "0" for kind in ("iptables", "ip6tables", "arptables")}


def ensure_cluster_network(plan: NetworkPlan) -> None:
    """Make what is missing of the cluster's network; what is there, connections included, stays.

    Raises ProcessError (the `ip` or `nft` command that failed), OSError, UserError (program not installed).
    """
    plan.run.mkdir(parents=True, exist_ok=True)
    host.ensure(plan)  # first: its rules load conntrack, without which a new namespace has no conntrack settings
    _ensure_netns(plan.lan_netns, LAN_SYSCTLS)
    for node in plan.nodes:
        _ensure_netns(plan.node_netns(node), NODE_SYSCTLS)
    if plan.host_link not in _links():
        _ip([f"link add {plan.host_link} type veth peer name {HOST_PORT} netns {plan.lan_netns}"])
    with inside(plan.lan_netns):
        _ip(_lan_script(plan, _links()))
    for node in plan.nodes:
        with inside(plan.node_netns(node)):
            _ip(_node_script(plan, node, _links()))
    _write_sysctls({f"net/ipv6/conf/{plan.host_link}/disable_ipv6": "1"})
    _write_sysctls({f"net/ipv4/conf/{plan.host_link}/route_localnet": "1"})
    _ip(_host_script(plan))


def remove_cluster_network(plan: NetworkPlan) -> None:
    """Remove all of it, whatever part is there. Links go at once even while a process still holds a namespace."""
    host.remove(plan)
    if plan.host_link in _links():
        _ip([f"link del {plan.host_link}"])
    namespaces = plan.lan_netns.parent
    pins = [plan.lan_netns, *namespaces.glob("node-*.net")] if namespaces.is_dir() else []
    for path in pins:
        if _pinned(path):
            with inside(path), suppress(ProcessError):
                _ip([f"link del {link}" for link in (LAN_LINK, POD_BRIDGE, BRIDGE) if link in _links()])
        unpin(path)
    with suppress(OSError):  # other rooms may keep pins here
        namespaces.rmdir()


def leftovers(live: Iterable[NetworkPlan]) -> list[str]:
    """What clusters that are not among `live` left in the host's namespace, as words for `sampan doctor`."""
    links = {plan.host_link for plan in live}
    names = {plan.host_table for plan in live}
    stale = [link for link in sorted(_links()) if link.startswith("sp") and link.endswith("-lan") and link not in links]
    return [f"link {link}" for link in stale] + [f"nft table ip {name}" for name in host.tables() if name not in names]


# ── one script a namespace ───────────────────────────────────────────────────────────────────────────────────────────


def _bridge(name: str, mac: str) -> str:
    # A fixed address: a bridge otherwise takes the lowest of its ports', and neighbours hold a stale one.
    return f"link add {name} address {mac} type bridge forward_delay 0 mcast_snooping 0"


def _lan_script(plan: NetworkPlan, links: set[str]) -> list[str]:
    lines = [] if BRIDGE in links else [_bridge(BRIDGE, _mac(plan.lan_cidr.partition("/")[0]))]
    for k, node in enumerate(plan.nodes):
        if f"n{k}" not in links:
            lines.append(f"link add n{k} type veth peer name {LAN_LINK} netns {plan.node_netns(node)}")
    ports = [HOST_PORT, *(f"n{k}" for k in range(len(plan.nodes)))]
    return [*lines, *(f"link set {port} master {BRIDGE} up" for port in ports), f"link set {BRIDGE} up"]


def _node_script(plan: NetworkPlan, node: str, links: set[str]) -> list[str]:
    gateway = plan.node_gateway(node)
    return [
        *([] if POD_BRIDGE in links else [_bridge(POD_BRIDGE, _mac(gateway))]),
        "link set lo up",
        f"address replace {plan.node_ip(node)}/24 dev {LAN_LINK}",
        f"link set {LAN_LINK} up",
        f"address replace {gateway}/24 dev {POD_BRIDGE}",
        f"link set {POD_BRIDGE} up",
        f"route replace default via {plan.host_ip} dev {LAN_LINK}",
        *(
            f"route replace {plan.node_pod_cidr(other)} via {plan.node_ip(other)} dev {LAN_LINK}"
            for other in plan.nodes
            if other != node
        ),
    ]


def _host_script(plan: NetworkPlan) -> list[str]:
    link = plan.host_link
    return [
        f"address replace {plan.host_ip}/24 dev {link}",
        f"link set {link} up",
        # Node 0 knows all Services; serviceproxy.lbroutes sends an address elsewhere when only another node will do.
        f"route replace {plan.lb_cidr} via {plan.node_ip(plan.nodes[0])} dev {link}",
        f"route replace {plan.service_cidr} via {plan.node_ip(plan.nodes[0])} dev {link}",
        *(f"route replace {plan.node_pod_cidr(node)} via {plan.node_ip(node)} dev {link}" for node in plan.nodes),
    ]


def _mac(ip: str) -> str:
    """A locally administered address with the IPv4 address in its last four bytes."""
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x53, *IPv4Address(ip).packed))


# ── the thin edge ────────────────────────────────────────────────────────────────────────────────────────────────────


def _ip(lines: list[str]) -> None:
    if lines:
        run_now(["ip", "-batch", "-"], "\n".join(lines).encode())


def _links() -> set[str]:
    """Names of the links in the calling thread's namespace."""
    return {name for _, name in socket.if_nameindex()}


def _write_sysctls(values: dict[str, str]) -> None:
    """Write /proc/sys of the calling thread's namespace; what this kernel does not have, it does not need."""
    for name, value in values.items():
        with suppress(FileNotFoundError):
            Path("/proc/sys", name).write_text(value)


def _pinned(path: Path) -> bool:
    """Is a namespace mounted there (not merely the empty file a killed run left)?"""
    try:
        return path.stat().st_dev == os.stat("/proc/self/ns/net").st_dev
    except FileNotFoundError:
        return False


def _ensure_netns(path: Path, sysctls: dict[str, str]) -> None:
    if _pinned(path):
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        unshare(CLONE_NEWNET)
        try:
            _write_sysctls(sysctls | NO_BRIDGE_NETFILTER)
            pin("net", path, "thread-self")
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)
