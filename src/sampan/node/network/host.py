"""What a cluster changes in the host's namespace besides links and routes: one nft table, forwarding, iptables."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sampan.base.errors import ProcessError
from sampan.base.proc import run_now
from sampan.node.network.plan import NetworkPlan

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
REMEMBERED = "ip_forward"  # in the cluster's run directory: what FORWARDING was before


def table(plan: NetworkPlan) -> str:
    """The nft transaction that makes the cluster's table. It may run again at any time: its sets keep their elements.

    Both are filled by serviceproxy.hostports. A packet for a NodePort that is addressed to the host itself goes to
    node 0, whose own rules know the Service; one for a host port to the load balancer it is for.
    """
    name, link, node = plan.host_table, plan.host_link, plan.node_ip(plan.nodes[0])
    to_node = f"fib daddr type local meta l4proto . th dport @nodeports dnat to {node}"
    to_balancer = "fib daddr type local meta l4proto { tcp, udp } dnat ip to meta l4proto . th dport map @hostports"
    own, everywhere = f"{{ {plan.lan_cidr}, {plan.pod_cidr} }}", f"{{ {', '.join(plan.cidrs)} }}"
    chains = {
        # route_localnet lets 127.0.0.1 out to these ports; nobody on the LAN may use it to come in.
        "guard": ("filter hook prerouting priority raw", [f'iifname "{link}" ip daddr 127.0.0.0/8 drop']),
        "prerouting": ("nat hook prerouting priority dstnat", [to_node, to_balancer]),
        "output": ("nat hook output priority -100", [to_node, to_balancer]),
        "postrouting": (
            "nat hook postrouting priority srcnat",
            [
                f'oifname "{link}" ip saddr 127.0.0.0/8 masquerade',
                # A pod that asks the host for one of these ports: the answer has to come back through the host.
                f'oifname "{link}" ct status dnat ip saddr {own} masquerade',
                f'oifname != "{link}" ip saddr {own} ip daddr != {everywhere} masquerade',
            ],
        ),
    }
    balancers = "type inet_proto . inet_service : ipv4_addr . inet_service"
    lines = [f"add table ip {name}", f"add set ip {name} nodeports {{ type inet_proto . inet_service; }}"]
    lines.append(f"add map ip {name} hostports {{ {balancers}; }}")
    for chain, (hook, rules) in chains.items():
        lines += [f"add chain ip {name} {chain} {{ type {hook}; }}", f"flush chain ip {name} {chain}"]
        lines += [f"add rule ip {name} {chain} {rule}" for rule in rules]
    return "\n".join(lines) + "\n"


def ensure(plan: NetworkPlan) -> None:
    remember_forwarding(plan.run)
    FORWARDING.write_text("1")
    run_now(["nft", "-f", "-"], table(plan).encode())
    for rule in iptables_rules(plan) if _forward_policy_drops() else ():
        if not _iptables("-C", *rule):
            _iptables("-I", *rule)


def remove(plan: NetworkPlan) -> None:
    # Adding first makes deleting a table that is not there no error.
    run_now(["nft", "-f", "-"], f"add table ip {plan.host_table}\ndelete table ip {plan.host_table}\n".encode())
    if shutil.which("iptables"):
        for rule in iptables_rules(plan):
            while _iptables("-D", *rule):
                pass
    restore_forwarding(plan.run)


def tables() -> list[str]:
    """Names of all nft tables of this namespace that some cluster made."""
    return re.findall(r"^table ip (sampan-\S+)$", run_now(["nft", "list", "tables"]).decode(), re.MULTILINE)


def iptables_rules(plan: NetworkPlan) -> list[tuple[str, ...]]:
    """Docker and ufw set the forward policy to drop, and a drop is final: the accept has to be in that very chain."""
    mark = ("-m", "comment", "--comment", plan.host_table, "-j", "ACCEPT")
    return [("FORWARD", way, plan.host_link, *mark) for way in ("-i", "-o")]


def _forward_policy_drops() -> bool:
    if not shutil.which("iptables"):
        return False
    try:
        return b"-P FORWARD DROP" in run_now(["iptables", "-w", "-S", "FORWARD"])
    except ProcessError:  # no iptables support in this kernel: then there is no such policy either
        return False


def _iptables(*arguments: str) -> bool:
    try:
        run_now(["iptables", "-w", *arguments])
    except ProcessError:
        return False
    return True


def remember_forwarding(run: Path) -> None:
    """Keep what ip_forward was before the cluster; a second call keeps the first memory."""
    memory = run / REMEMBERED
    if not memory.exists():
        memory.write_text(FORWARDING.read_text())


def restore_forwarding(run: Path) -> None:
    """Put ip_forward back, or, when other clusters still need it, leave the memory to one of them."""
    memory = run / REMEMBERED
    if not memory.exists():
        return
    before = memory.read_text()
    others = [other for other in run.parent.glob(f"*/{REMEMBERED}") if other != memory]
    if before.strip() == "0":
        (others[0] if others else FORWARDING).write_text(before)
    memory.unlink()
