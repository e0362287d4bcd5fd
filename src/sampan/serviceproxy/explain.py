"""Why a packet has nowhere to go, in words for people. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from sampan.api import meta
from sampan.api.endpoints import endpoints_of, service_of
from sampan.api.meta import Key, Obj
from sampan.serviceproxy.rules import ingress_ips, is_proxied

NOBODY = "no pod has this address"


class Pods(Protocol):
    """The part of `trace.World` that tells who runs behind an address."""

    @property
    def pods(self) -> Sequence[Obj]: ...
    @property
    def command(self) -> Callable[[Obj], str]: ...


def who(ip: str, world: Pods) -> str:
    """The pod behind an address: name, node, what it runs."""
    for pod in world.pods:
        status = pod.get("status") or {}
        if status.get("podIP") == ip and status.get("phase") not in ("Succeeded", "Failed"):
            return f"pod {meta.key(pod)} on node {pod['spec'].get('nodeName', '?')} runs {world.command(pod)}"
    return NOBODY


def service(obj: Obj, port: int) -> str:
    spec = obj["spec"]
    return f"{meta.key(obj)}, {spec.get('type', 'ClusterIP')} {spec.get('clusterIP', '')}, port {port}"


def unknown_name(name: str, services: Iterable[Obj]) -> str:
    """No such name; Services of that name elsewhere are what people mean most often."""
    first = name.partition(".")[0]
    near = sorted(f"{first}.{meta.namespace(s)}" for s in services if meta.name(s) == first)
    return f"there is no name {name}" + (f"; there is {', '.join(near)}" if near else "")


def no_way(
    services: Mapping[Key, Obj],
    key: Key | None,
    ip: str,
    port: int,
    node: str,
    slices: Iterable[Obj],
    pods: Iterable[Obj],
) -> str:
    """Why the rules refuse or drop a packet to `ip`:`port`."""
    if key is None:
        return _no_port(services.values(), ip, port)
    found = services[key]
    wanted = next((p for p in found["spec"].get("ports") or () if port in (p["port"], p.get("nodePort"))), None)
    own = [entry for entry in slices if service_of(entry) == key]
    endpoints = endpoints_of(wanted, own) if wanted else []
    if any(e.ready for e in endpoints):
        return _policy(found["spec"], node, sorted({e.node for e in endpoints if e.ready}))
    selector = found["spec"].get("selector")
    if not selector:
        return f"Service {key} has no selector, and no EndpointSlice gives it a ready endpoint"
    chosen = [pod for pod in pods if meta.namespace(pod) == key.namespace and _matches(selector, pod)]
    return f"Service {key} has no ready endpoint: " + _no_endpoint(selector, wanted or {}, chosen)


def condition_of(pod: Obj) -> str:
    """In a few words why a pod is not ready."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            return str(waiting["reason"])
    if "deletionTimestamp" in pod.get("metadata", {}):
        return "Terminating"
    if status.get("phase") == "Running" and not meta.is_true(pod, "Ready"):
        return "Running, but not ready (readinessProbe)"
    return str(status.get("phase") or "Pending")


def _no_port(services: Iterable[Obj], ip: str, port: int) -> str:
    for found in services:
        if is_proxied(found) and ip in (*(found["spec"].get("clusterIPs") or ()), *ingress_ips(found)):
            ports = ", ".join(f"{p['port']}/{p.get('protocol') or 'TCP'}" for p in found["spec"].get("ports") or ())
            return f"Service {meta.key(found)} has no port {port}; it has {ports}"
    return f"no Service has the address {ip}"


def _policy(spec: Obj, node: str, nodes: list[str]) -> str:
    outside, inside = spec.get("externalTrafficPolicy") == "Local", spec.get("internalTrafficPolicy") == "Local"
    names = [name for name, on in (("externalTrafficPolicy", outside), ("internalTrafficPolicy", inside)) if on]
    if not names:
        return "loadBalancerSourceRanges do not have the source"
    return f"{' / '.join(names)} is Local and node {node} has no ready endpoint (ready on: {', '.join(nodes)})"


def _no_endpoint(selector: Obj, port: Obj, pods: list[Obj]) -> str:
    text = ",".join(f"{name}={value}" for name, value in selector.items())
    if not pods:
        return f"its selector {text} matches 0 pods"
    ready = [pod for pod in pods if meta.is_true(pod, "Ready") and not meta.deleting(pod)]
    target = port.get("targetPort")
    if ready and isinstance(target, str):
        names = sorted({p["name"] for pod in ready for p in _container_ports(pod) if p.get("name")})
        if target not in names:
            has = f"their ports are called {', '.join(names)}" if names else "they name no ports"
            return f"targetPort {target!r} is no port of its pods; {has}"
    if ready:
        return f"{len(ready)} of its pods are ready, but not yet in its EndpointSlices"
    each = ", ".join(f"{meta.name(pod)} is {condition_of(pod)}" for pod in pods[:5])
    return f"its selector {text} matches {len(pods)} pods, none ready: {each}"


def _container_ports(pod: Obj) -> list[Obj]:
    return [port for container in pod["spec"].get("containers") or () for port in container.get("ports") or ()]


def _matches(selector: Obj, pod: Obj) -> bool:
    labels = meta.labels(pod)
    return all(labels.get(name) == value for name, value in selector.items())
