"""Endpoints of Services with a selector: the older form of EndpointSlices, which `kubectl get ep` reads.

Source: https://kubernetes.io/docs/concepts/services-networking/service/#endpoints,
k8s.io/kubernetes/pkg/controller/endpoint
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable

import orjson

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.client.env import Controller, Env
from sampan.controllers import service_endpoints as shared
from sampan.controllers.keys import own_key
from sampan.controllers.writes import create, remove

RESOURCE = "endpoints"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"


def controller() -> Controller:
    return Controller(
        "endpoint-controller", {"services": own_key, "pods": shared.service_of_pod, RESOURCE: own_key}, reconcile
    )


async def reconcile(key: Key, env: Env) -> None:
    service = env.caches["services"].get(key)
    existing = env.caches[RESOURCE].get(key)
    if service is None:
        if existing is not None and meta.labels(existing).get(MANAGED_BY) == MANAGER:
            await remove(env, RESOURCE, existing)
        return
    if meta.deleting(service) or not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
        return
    behind = shared.selected(service, env.caches["pods"].list(key.namespace))
    wanted = _endpoints(service, subsets(service, behind))
    if existing is None:
        await create(env, RESOURCE, wanted)
    elif (meta.labels(existing), existing.get("subsets") or []) != (meta.labels(wanted), wanted.get("subsets") or []):
        metadata = existing["metadata"] | {"labels": meta.labels(wanted)}
        await env.client.update(RESOURCE, wanted | {"metadata": metadata})


def _endpoints(service: Obj, found: list[Obj]) -> Obj:
    labels = dict(meta.labels(service)) | {MANAGED_BY: MANAGER}
    if shared.is_headless(service):
        labels[shared.HEADLESS_LABEL] = ""
    metadata = {"name": meta.name(service), "namespace": meta.namespace(service), "labels": labels}
    result: Obj = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
    return result | ({"subsets": found} if found else {})


def subsets(service: Obj, behind: Iterable[Obj]) -> list[Obj]:
    """Addresses and ports packed into as few subsets as possible: each address with exactly its own ports.

    Pods being deleted are left out unless the Service publishes addresses that are not ready.
    """
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    family = shared.families(service)[0]
    by_port: dict[bytes, dict[tuple[str, bool], Obj]] = defaultdict(dict)
    for pod in behind:
        address = shared.pod_address(pod, family)
        if not address or (meta.deleting(pod) and not publish):
            continue
        ports = shared.ports(service, pod)
        # A Service without ports has subsets without ports; one whose ports this pod lacks does not have the pod.
        for port in ports if service["spec"].get("ports") else [{}]:
            ready = publish or pods.is_ready(pod)
            by_port[orjson.dumps(_plain(port))][address, ready] = _address(service, pod, address)
    by_addresses: dict[frozenset[tuple[str, bool]], list[bytes]] = defaultdict(list)
    for port_bytes, addresses in by_port.items():
        by_addresses[frozenset(addresses)].append(port_bytes)
    packed = [_subset(by_port[ports[0]], ports) for ports in by_addresses.values()]
    return sorted(packed, key=lambda s: orjson.dumps(s.get("ports", [])))


def _subset(addresses: dict[tuple[str, bool], Obj], ports: list[bytes]) -> Obj:
    ordered = sorted(addresses.items(), key=lambda item: ipaddress.ip_address(item[0][0]).packed)
    ready = [a for (_, is_ready), a in ordered if is_ready]
    waiting = [a for (_, is_ready), a in ordered if not is_ready]
    numbers = [port for port in map(orjson.loads, sorted(ports)) if port]
    entry = {"addresses": ready, "notReadyAddresses": waiting, "ports": numbers}
    return {k: v for k, v in entry.items() if v}


def _plain(port: Obj) -> Obj:
    """An unnamed port has no name here, where EndpointSlices have an empty one."""
    return {k: v for k, v in port.items() if v != ""}


def _address(service: Obj, pod: Obj, ip: str) -> Obj:
    entry: Obj = {"ip": ip, "targetRef": shared.target(pod)}
    if name := pods.node_name(pod):
        entry["nodeName"] = name
    if host := shared.hostname(service, pod):
        entry["hostname"] = host
    return entry
