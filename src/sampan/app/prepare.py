"""What has to be on disk before a cluster's processes start: its decision, certificates, kubeconfig."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

from sampan.app import claims, edge_ports, kubeconfig
from sampan.app.config import DEFAULT_RUN, DOMAIN, PROXY_LEAF, PROXY_USER, Cluster, Wanted, decide
from sampan.app.supervisor import running
from sampan.base.clock import SystemClock
from sampan.base.errors import UserError
from sampan.base.fs import exclusive
from sampan.ca.authority import Authority, Leaf


def prepare(
    name: str,
    root: Path,
    nodes: int | None,
    history: Wanted = (None, None),
    ports: edge_ports.Wanted = (None, None),
) -> Cluster:
    """Decide, issue, write; does nothing that is done already. `history`: see `decide`. Raises UserError."""
    if os.geteuid() != 0:
        raise UserError(
            "sampan needs root: it makes network namespaces, mounts and packet rules",
            f"sudo sampan up --cluster {name}",
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        DEFAULT_RUN.mkdir(parents=True, exist_ok=True)
        with exclusive(DEFAULT_RUN):  # two new clusters at once would choose the same networks
            cluster = _with_ports(decide(name, root, nodes, history), ports)
            cluster.save()
            if not running(cluster):
                claims.write(cluster.run, cluster.claim)
        with exclusive(cluster.directory):
            _certificates(cluster)
            kubeconfig.write(cluster)
            cluster.logs.mkdir(exist_ok=True)
            cluster.snapshots.mkdir(mode=0o700, exist_ok=True)
            (root / "images").mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"the state directory cannot be written: {error}", "sampan up --state DIR") from None
    return cluster


def _with_ports(cluster: Cluster, wanted: edge_ports.Wanted) -> Cluster:
    """While it runs, its ports are taken by itself: what it has is its own, and a change waits for the next start."""
    own = edge_ports.started_with(cluster) or () if running(cluster) else ()
    free = lambda port: port in own or edge_ports.is_free(cluster, port)  # noqa: E731
    return replace(cluster, chosen_ports=edge_ports.choose(wanted, cluster.chosen_ports, free))


def _certificates(cluster: Cluster) -> None:
    now = SystemClock().now()
    authority = Authority.open(cluster.pki, f"sampan-{cluster.name}", now)
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}")
    hosts = (*names, "localhost", socket.gethostname(), "127.0.0.1", cluster.plan.host_ip, cluster.plan.kubernetes_ip)
    leaves = [
        Leaf("server", "kube-apiserver", hosts=hosts, server=True),
        Leaf("admin", "kubernetes-admin", ("system:masters",), client=True),
        Leaf(PROXY_LEAF, PROXY_USER, ("sampan:proxies",), client=True),
        *(Leaf(f"agent-{n}", f"system:node:{n}", ("system:nodes",), client=True) for n in cluster.plan.nodes),
    ]
    for leaf in leaves:
        authority.ensure(leaf, now)
