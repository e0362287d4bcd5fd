"""A Service for each Gateway: its address, and the memory of which port of the shared proxy each of its ports leads to.

A selector does not reach into another namespace, so the Services have none and we write their EndpointSlices: the pods
of the gateway. Pure: `objects` says what there shall be, `allocated` reads what there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.gateway.gatewayapi import Gateway, Gateways, service_name
from sampan.gateway.gatewayapi.names import CLASS_LABEL, GATEWAY_LABEL, label_value
from sampan.gateway.types import Objects, Resources

FIRST: Final = 20000
LAST: Final = 29999
MANAGED_BY: Final = "gateway.sampan.io"
SLICES: Final = "endpointslices.discovery.k8s.io"

_Allocation = dict[tuple[Key, int], int]
_gateways = Gateways()


def allocated(services: Objects) -> _Allocation:
    """(Gateway, its port) → port of the proxy. Two that claim the same one: the second has none yet."""
    made: _Allocation = {}
    owners: dict[int, tuple[Key, int]] = {}
    for key in sorted(services):
        gateway = _gateway_of(services[key])
        for port in services[key]["spec"].get("ports") or () if gateway else ():
            inner = port.get("targetPort")
            place = (Key(key.namespace, gateway), port["port"])
            if isinstance(inner, int) and FIRST <= inner <= LAST and owners.setdefault(inner, place) == place:
                made[place] = inner
    return made


def _gateway_of(service: Obj) -> str:
    """The name of the Gateway that a Service is for, "" when it is for none."""
    for owner in service["metadata"].get("ownerReferences") or ():
        if owner.get("kind") == "Gateway" and service_name(owner["name"]) == meta.name(service):
            return str(owner["name"])
    return ""


def objects(resources: Resources, pods: Iterable[Obj]) -> list[tuple[str, Obj]]:
    """(resource, object) for all that the Gateways need. `pods` are the gateway's own."""
    gateways = {key: one for key, one in _gateways.of(resources).items() if one.refused is None}
    taken = allocated(resources.of("services"))
    endpoints = [_endpoint(pod) for pod in sorted(pods, key=meta.name) if (pod.get("status") or {}).get("podIP")]
    made: list[tuple[str, Obj]] = []
    for key, ports in _assigned(gateways, taken).items():
        if ports:
            made.append(("services", _service(gateways[key], ports)))
            made.append((SLICES, _slice(gateways[key], ports, endpoints)))
    return made


_Ports = dict[tuple[int, str], int]  # (port, protocol) → port of the proxy


def _assigned(gateways: Mapping[Key, Gateway], taken: _Allocation) -> dict[Key, _Ports]:
    """What has a port keeps it, the others get the lowest that are free."""
    wanted = {key: _wanted(one) for key, one in sorted(gateways.items())}
    places = [(key, number) for key, ports in wanted.items() for number in sorted({number for number, _ in ports})]
    inner = {place: taken[place] for place in places if place in taken}
    used = set(taken.values())
    free = (number for number in range(FIRST, LAST + 1) if number not in used)
    for place in places:
        if place not in inner and (number := next(free, 0)):
            inner[place] = number
    return {
        key: {(number, protocol): inner[key, number] for number, protocol in ports if (key, number) in inner}
        for key, ports in wanted.items()
    }


def _wanted(gateway: Gateway) -> list[tuple[int, str]]:
    listeners = [one for one in gateway.all_listeners() if one.accepted]
    return sorted({(one.port, "UDP" if one.protocol == "UDP" else "TCP") for one in listeners})


def _metadata(gateway: Gateway, more: Mapping[str, str]) -> Obj:
    infrastructure = gateway.obj["spec"].get("infrastructure") or {}
    labels = {
        **(infrastructure.get("labels") or {}),
        GATEWAY_LABEL: label_value(gateway.key.name),
        CLASS_LABEL: label_value(gateway.obj["spec"]["gatewayClassName"]),
        **more,
    }
    owner = meta.owner_reference(gateway.obj)
    made: Obj = {
        "name": service_name(gateway.key.name),
        "namespace": gateway.key.namespace,
        "labels": labels,
        "ownerReferences": [owner],
    }
    annotations = infrastructure.get("annotations")
    return made | ({"annotations": dict(annotations)} if annotations else {})


def _service(gateway: Gateway, ports: _Ports) -> Obj:
    spec: Obj = {
        "type": "LoadBalancer",
        # The clients' own addresses reach the proxy.
        "externalTrafficPolicy": "Local",
        "allocateLoadBalancerNodePorts": False,
        "ports": [
            {"name": f"{protocol.lower()}-{number}", "port": number, "protocol": protocol, "targetPort": inner}
            for (number, protocol), inner in ports.items()
        ],
    }
    asked = (address.get("value") for address in gateway.obj["spec"].get("addresses") or ())
    if address := next(filter(None, asked), None):
        spec["loadBalancerIP"] = address
    return {"metadata": _metadata(gateway, {}), "spec": spec}


def _slice(gateway: Gateway, ports: _Ports, endpoints: list[Obj]) -> Obj:
    more = {
        "kubernetes.io/service-name": service_name(gateway.key.name),
        "endpointslice.kubernetes.io/managed-by": MANAGED_BY,
    }
    return {
        "metadata": _metadata(gateway, more),
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [
            {"name": f"{protocol.lower()}-{number}", "port": inner, "protocol": protocol}
            for (number, protocol), inner in ports.items()
        ],
    }


def _endpoint(pod: Obj) -> Obj:
    ready, leaving = meta.is_true(pod, "Ready"), meta.deleting(pod)
    target = {"kind": "Pod", "namespace": meta.namespace(pod), "name": meta.name(pod), "uid": meta.uid(pod)}
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready and not leaving, "serving": ready, "terminating": leaving},
        "nodeName": pod["spec"].get("nodeName", ""),
        "targetRef": target,
    }
