"""What the service proxy has to know of a cluster, taken from its plan and from this machine."""

from __future__ import annotations

import json

from sampan.app.config import Cluster
from sampan.base.proc import run_now
from sampan.serviceproxy.model import NodeFacts


def node_facts(cluster: Cluster, node: str) -> NodeFacts:
    plan = cluster.plan
    return NodeFacts(
        name=node,
        ip=plan.node_ip(node),
        local_pods=plan.node_pod_cidr(node),
        pod_cidr=plan.pod_cidr,
        service_cidr=plan.service_cidr,
        lb_cidr=plan.lb_cidr,
    )


def host_ips() -> frozenset[str]:
    """The IPv4 addresses of this network namespace."""
    links = json.loads(run_now(["ip", "-4", "-json", "address"]))
    return frozenset(address["local"] for link in links for address in link["addr_info"])
