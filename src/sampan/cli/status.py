"""`sampan status`: which clusters there are, and what runs in one."""

from __future__ import annotations

import asyncio
import os

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.pods import is_terminal
from sampan.api.status import ApiError
from sampan.app import edge_ports
from sampan.app.config import Cluster, load_or_fail, names, state_root
from sampan.app.supervisor import running
from sampan.cli.options import DEFAULT_CLUSTER, ClusterName, StateDir
from sampan.store.recovery import restorations


def status(cluster: ClusterName = DEFAULT_CLUSTER, state: StateDir = None) -> int:
    """Show a cluster's processes, networks, nodes and pods. Exit status 1 when it is not up."""
    root = state_root(state)
    found = load_or_fail(cluster, root)
    others = [name for name in names(root) if name != cluster]
    pid = running(found)
    print(f"cluster   {found.name}: {f'up (supervisor {pid})' if pid else 'down'}")
    print(f"state     {found.directory}")
    for report in restorations(found.store):
        print(f"restored  {report.read_text().strip()}\n          (rm {report} when you have read it)")
    print(f"networks  pods {found.plan.pod_cidr}, services {found.plan.service_cidr}, nodes {found.plan.lan_cidr}")
    if pid and (gateway := edge_ports.shown(edge_ports.started_with(found) or found.edge_ports)):
        print(f"gateway   {gateway}   (once there is an Ingress or a Gateway)")
    if pid and os.access(found.pki / "admin.key", os.R_OK):
        print(f"API       {found.url}")
        print(f"kubectl   export KUBECONFIG={found.kubeconfig}")
        asyncio.run(_contents(found))
    if others:
        print(f"others    {', '.join(others)}")
    return 0 if pid else 1


async def _contents(cluster: Cluster) -> None:
    from sampan.app.api import admin_client

    client = admin_client(cluster)
    try:
        nodes, pods, services = [(await client.list(resource)).items for resource in ("nodes", "pods", "services")]
    except ApiError as error:
        print(f"          the API does not answer: {error}")
        return
    finally:
        await client.close()
    for node in nodes:
        print(f"node      {node_line(node, pods)}")
    running = [pod for pod in pods if not is_terminal(pod)]
    ended = f", {len(pods) - len(running)} completed" if len(running) < len(pods) else ""
    print(f"pods      {sum(meta.is_true(p, 'Ready') for p in running)} ready of {len(running)}{ended}")
    print(f"services  {len(services)}")
    for service in services:
        if service["spec"].get("type") == "LoadBalancer":
            print(f"balancer  {balancer_line(service)}")


def balancer_line(service: Obj) -> str:
    """`default/web  172.30.0.129  80,443`"""
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    addresses = ",".join(entry.get("ip") or entry.get("hostname", "") for entry in ingress) or "<pending>"
    ports = ",".join(str(port["port"]) for port in service["spec"].get("ports") or ())
    return f"{meta.key(service)}  {addresses}  {ports}"


def node_line(node: Obj, pods: list[Obj]) -> str:
    """`node-0  Ready  172.30.0.2  3 pods`"""
    name = meta.name(node)
    addresses = (node.get("status") or {}).get("addresses") or []
    address = next((a["address"] for a in addresses if a["type"] == "InternalIP"), "")
    count = sum(pod["spec"].get("nodeName") == name for pod in pods)
    ready = "Ready" if meta.is_true(node, "Ready") else "NotReady"
    return f"{name}  {ready}  {address}  {count} pod{'' if count == 1 else 's'}"
