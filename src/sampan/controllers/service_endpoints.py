"""What a Service's pods look like as endpoints: shared by EndpointSlices and Endpoints. Pure.

Sources: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions,
k8s.io/endpointslice, k8s.io/kubernetes/pkg/controller/endpoint
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.client.env import Cache

HEADLESS_LABEL = "service.kubernetes.io/headless"


def service_of_pod(pod: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    """The Services of the pod's namespace that select it."""
    labels = meta.labels(pod)
    services = caches["services"].list(meta.namespace(pod))
    return [meta.key(s) for s in services if selects(s, labels)]


def selects(service: Obj, labels: Mapping[str, str]) -> bool:
    """Does the Service select a pod with these labels? Every change of a pod asks every Service."""
    selector = service["spec"].get("selector")
    return bool(selector) and selector.items() <= labels.items()


def selected(service: Obj, candidates: Iterable[Obj]) -> list[Obj]:
    """The pods behind a Service: selected, with an address, not ended. Pods being deleted are among them."""
    return [p for p in candidates if selects(service, meta.labels(p)) and pods.ip(p) and not pods.is_terminal(p)]


def is_headless(service: Obj) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def families(service: Obj) -> list[str]:
    """["IPv4"], ["IPv6"] or both: an EndpointSlice holds one."""
    return list(service["spec"].get("ipFamilies") or ["IPv4"])


def pod_address(pod: Obj, family: str) -> str:
    """The pod's address of this family, "" when it has none."""
    status = pod.get("status") or {}
    found = [entry["ip"] for entry in status.get("podIPs") or ()] or [status.get("podIP", "")]
    return next((ip for ip in found if ip and address_family(ip) == family), "")


def address_family(ip: str) -> str:
    return "IPv6" if ipaddress.ip_address(ip).version == 6 else "IPv4"


def ports(service: Obj, pod: Obj) -> list[Obj]:
    """The Service's ports as numbers of this pod; a named targetPort the pod does not have is left out."""
    result = []
    for port in service["spec"].get("ports") or ():
        protocol = port.get("protocol", "TCP")
        number = pods.port_number(pod, port.get("targetPort", port["port"]), protocol)
        if number is not None:
            entry = {"name": port.get("name", ""), "port": number, "protocol": protocol}
            result.append(entry | ({"appProtocol": port["appProtocol"]} if "appProtocol" in port else {}))
    return result


def endpoint(service: Obj, pod: Obj, address: str, node: Callable[[str], Obj | None]) -> Obj:
    """One entry of an EndpointSlice. `node` finds a Node by name (for its zone)."""
    serving, terminating = pods.is_ready(pod), meta.deleting(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    entry: Obj = {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": target(pod),
    }
    if name := pods.node_name(pod):
        entry["nodeName"] = name
        zone = meta.labels(node(name) or {"metadata": {}}).get("topology.kubernetes.io/zone")
        if zone:
            entry["zone"] = zone
    if host := hostname(service, pod):
        entry["hostname"] = host
    return entry


def target(pod: Obj) -> Obj:
    return {"kind": "Pod", "namespace": meta.namespace(pod), "name": meta.name(pod), "uid": meta.uid(pod)}


def hostname(service: Obj, pod: Obj) -> str:
    """The DNS label a headless Service publishes for a pod that names it as its subdomain."""
    spec = pod["spec"]
    return str(spec.get("hostname", "")) if spec.get("subdomain") == meta.name(service) else ""
