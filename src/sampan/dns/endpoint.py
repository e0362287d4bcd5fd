"""This node's DNS server as an endpoint of the kube-dns Service, so that its ClusterIP is a Service like any other."""

from __future__ import annotations

from sampan.api.meta import Obj
from sampan.api.status import ApiError
from sampan.client.types import Client
from sampan.dns.zone import SERVICE_LABEL

NAMESPACE, SERVICE = "kube-system", "kube-dns"


def endpoint_slice(node: str, ip: str) -> Obj:
    """The EndpointSlice by which the kube-dns Service reaches the DNS server of `node` at `ip`, port 53."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{SERVICE}-{node}",
            "namespace": NAMESPACE,
            "labels": {SERVICE_LABEL: SERVICE, "endpointslice.kubernetes.io/managed-by": "dns.sampan"},
        },
        "addressType": "IPv4",
        "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        ],
        "endpoints": [
            {
                "addresses": [ip],
                "nodeName": node,
                "conditions": {"ready": True, "serving": True, "terminating": False},
            }
        ],
    }


async def publish(client: Client, node: str, ip: str) -> None:
    """Make the slice exist as it should be. Raises ApiError."""
    wanted = endpoint_slice(node, ip)
    try:
        await client.create("endpointslices.discovery.k8s.io", wanted)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        name = wanted["metadata"]["name"]
        body = {key: wanted[key] for key in ("ports", "endpoints")}
        await client.patch("endpointslices.discovery.k8s.io", name, NAMESPACE, body)
