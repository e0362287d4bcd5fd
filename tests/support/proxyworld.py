"""Services, slices and pods as short as the tests of the service proxy want them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from sampan.serviceproxy.model import NodeFacts

POD_CIDR, SERVICE_CIDR, LB_CIDR = "10.244.0.0/16", "10.96.0.0/16", "172.30.0.128/25"
A = NodeFacts("a", "172.30.0.2", "10.244.0.0/24", POD_CIDR, SERVICE_CIDR, LB_CIDR, zone="z1")
B = NodeFacts("b", "172.30.0.3", "10.244.1.0/24", POD_CIDR, SERVICE_CIDR, LB_CIDR, zone="z2")
VIP = "10.96.0.50"


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    base = {"type": "ClusterIP", "clusterIP": VIP, "clusterIPs": [VIP], "ports": [{"port": 80}]}
    return {"kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": base | spec}


def node_port(**spec: Any) -> dict[str, Any]:
    return service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}], **spec)


def endpoint(ip: str, node: str = "a", hints: Any = None, **conditions: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"addresses": [ip], "nodeName": node, "conditions": conditions}
    return made | ({"hints": hints} if hints else {})


def slice_of(*endpoints: Any, name: str = "web", ports: Any = None, **fields: Any) -> dict[str, Any]:
    return {
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-1",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": ports or [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    } | fields


def pod(name: str, ip: str, node: str = "a", ready: bool = True, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {
            "podIP": ip,
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


async def during(loop: Coroutine[Any, Any, None], scene: Coroutine[Any, Any, None]) -> None:
    """The scene, while a loop that never ends by itself runs beside it."""
    task = asyncio.create_task(loop)
    try:
        await asyncio.wait_for(scene, 5)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled() -> None:
    """Until all that can happen without time passing has happened."""
    for _ in range(20):
        await asyncio.sleep(0)
