"""Which addresses a cluster has: pure, but for `local_networks`, which reads the host's routes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from sampan.base.errors import UserError
from sampan.base.proc import run_now

LAN_LINK = "lan0"  # a node's link into the LAN
POD_BRIDGE = "pods"  # a node's bridge, the gateway of its pods
RUN = Path("/run/sampan")

# 10.(244-i) and 10.(96+i) meet at i = 74.
INDEXES = range(74)
# Routes wider than this (a VPN that takes all of 10/8) are not somebody's network; ours are more specific and win.
WIDE = 12


@dataclass(frozen=True)
class NetworkPlan:
    """A cluster's networks. Node k is `nodes[k]`; `run` is where its namespaces are pinned."""

    cluster: str
    index: int
    nodes: tuple[str, ...]
    run: Path

    @property
    def lan_cidr(self) -> str:
        return f"172.30.{self.index}.0/24"

    @property
    def lb_cidr(self) -> str:
        """The upper half of the LAN: addresses of LoadBalancer Services. No link has one; nodes are .2 to .101."""
        return f"172.30.{self.index}.128/25"

    @property
    def pod_cidr(self) -> str:
        """All pods of the cluster."""
        return f"10.{244 - self.index}.0.0/16"

    @property
    def service_cidr(self) -> str:
        return f"10.{96 + self.index}.0.0/16"

    @property
    def cidrs(self) -> tuple[str, str, str]:
        return self.lan_cidr, self.pod_cidr, self.service_cidr

    @property
    def host_ip(self) -> str:
        """The host's address on the LAN, the nodes' default gateway."""
        return f"172.30.{self.index}.1"

    @property
    def kubernetes_ip(self) -> str:
        return f"10.{96 + self.index}.0.1"

    @property
    def dns_ip(self) -> str:
        return f"10.{96 + self.index}.0.10"

    @property
    def host_link(self) -> str:
        """The host's link into the LAN."""
        return f"sp{self.index}-lan"

    @property
    def host_table(self) -> str:
        """The name of the nft table (family ip) in the host's namespace."""
        return f"sampan-{self.cluster}"

    @property
    def lan_netns(self) -> Path:
        return self.run / "ns" / "lan.net"

    def node_netns(self, node: str) -> Path:
        return self.run / "ns" / f"node-{node}.net"

    def node_ip(self, node: str) -> str:
        return f"172.30.{self.index}.{2 + self.nodes.index(node)}"

    def node_pod_cidr(self, node: str) -> str:
        return f"10.{244 - self.index}.{self.nodes.index(node)}.0/24"

    def node_gateway(self, node: str) -> str:
        """The address of the node's bridge, the default gateway of its pods."""
        return f"10.{244 - self.index}.{self.nodes.index(node)}.1"


def choose_plan(cluster: str, nodes: Iterable[str], taken: Collection[int] = (), run: Path = RUN) -> NetworkPlan:
    """A plan with the first index whose networks are free on this machine and not in `taken` (clusters that are down).

    `run` is the directory above the cluster's own. Raises UserError.
    """
    return NetworkPlan(cluster, free_index(local_networks(), {*taken, *_linked()}), tuple(nodes), run / cluster)


def free_index(routes: Iterable[IPv4Network], taken: Collection[int] = ()) -> int:
    """The first index whose three networks overlap no route. Raises UserError when there is none."""
    known = [route for route in routes if route.prefixlen >= WIDE]
    for index in INDEXES:
        plan = NetworkPlan("", index, (), RUN)
        ours = [IPv4Network(cidr) for cidr in plan.cidrs]
        if index not in taken and not any(route.overlaps(cidr) for route in known for cidr in ours):
            return index
    raise UserError(
        "no free networks for a cluster: routes of this machine overlap all of 10.96-10.244.0.0/16 or 172.30.0.0/16",
        "ip route show table all",
    )


def _linked() -> set[int]:
    """Indexes whose link exists, be it of a cluster of another state directory or left over: it may have no route."""
    return {index for index in INDEXES if Path(f"/sys/class/net/sp{index}-lan").exists()}


def local_networks() -> list[IPv4Network]:
    """The destinations of all routes of this namespace, local addresses included, the default route not."""
    routes = json.loads(run_now(["ip", "-4", "-json", "route", "show", "table", "all"]) or b"[]")
    return [IPv4Network(route["dst"], strict=False) for route in routes if route["dst"] != "default"]
