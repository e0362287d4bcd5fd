"""Service (core/v1). Cluster IPs and node ports are allocated by the server.

Source: k8s.io/kubernetes/pkg/apis/core/v1/defaults.go, pkg/registry/core/service (1.32).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sampan.api import meta
from sampan.api.kinds import service_validation
from sampan.api.kinds.service_addresses import is_headless
from sampan.api.kinds.service_validation import is_externally_accessible
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.table import AGE, NAME, age

_AFFINITY_SECONDS = 10800


def _default(service: Obj) -> None:
    spec = service.setdefault("spec", {})
    kind = spec["type"] = spec.get("type") or "ClusterIP"
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    _default_affinity(spec)
    if is_externally_accessible(spec) and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        for ingress in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if ingress.get("ip"):
                ingress.setdefault("ipMode", "VIP")
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    if kind != "ExternalName":
        _default_families(spec)


def _default_affinity(spec: Obj) -> None:
    affinity = spec["sessionAffinity"] = spec.get("sessionAffinity") or "None"
    if affinity == "None":
        spec.pop("sessionAffinityConfig", None)
    elif affinity == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        client.setdefault("timeoutSeconds", _AFFINITY_SECONDS)
        spec["sessionAffinityConfig"] = {"clientIP": client}


def _default_families(spec: Obj) -> None:
    """The cluster has IPv4 alone. A headless Service without selector lists both: its endpoints are not ours."""
    anything = is_headless(spec) and not spec.get("selector")
    policy = spec["ipFamilyPolicy"] = spec.get("ipFamilyPolicy") or ("RequireDualStack" if anything else "SingleStack")
    families = spec["ipFamilies"] = spec.get("ipFamilies") or ["IPv4"]
    if anything and policy != "SingleStack" and len(families) == 1:
        spec["ipFamilies"] = [families[0], "IPv6" if families[0] == "IPv4" else "IPv4"]


def _prepare_create(service: Obj) -> None:
    service["status"] = {"loadBalancer": {}}


def _prepare_update(new: Obj, old: Obj) -> None:
    """Follow a changed clusterIP, and drop what belonged to the type the Service no longer has."""
    now, before = new["spec"], old["spec"]
    if now.get("clusterIP") and now["clusterIP"] != before.get("clusterIP") and _same("clusterIPs", now, before):
        now["clusterIPs"] = [now["clusterIP"]]
    if not is_externally_accessible(now):
        _drop_unchanged(now, before, "externalTrafficPolicy")
    if now["type"] != "LoadBalancer":
        _drop_unchanged(now, before, "allocateLoadBalancerNodePorts")
        _drop_unchanged(now, before, "loadBalancerClass")


def _same(key: str, now: Obj, before: Obj) -> bool:
    return bool(now.get(key) == before.get(key))


def _drop_unchanged(now: Obj, before: Obj, key: str) -> None:
    if key in now and _same(key, now, before):
        del now[key]


def _warnings(service: Obj) -> list[str]:
    spec = service["spec"]
    found: list[str] = []
    external = spec["type"] == "ExternalName"
    if external and spec.get("externalIPs"):
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if not external and spec.get("externalName"):
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if is_headless(spec) and spec.get("sessionAffinity") not in ("", "None", None):
        found.append("spec.SessionAffinity is ignored for headless services")
    return found


def _row(service: Obj, now: datetime) -> list[Any]:
    spec = service["spec"]
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP") or "<none>"]
    ports = ",".join(_port(port) for port in spec.get("ports") or ())
    selector = ",".join(f"{key}={value}" for key, value in sorted((spec.get("selector") or {}).items()))
    return [
        meta.name(service),
        spec.get("type", ""),
        addresses[0],
        _external_ip(service),
        ports or "<none>",
        age(service, now),
        selector or "<none>",
    ]


def _port(port: Obj) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node}/{port.get('protocol', 'TCP')}"


def _external_ip(service: Obj) -> str:
    spec = service["spec"]
    external = spec.get("externalIPs") or []
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(external) or "<none>"
        case "LoadBalancer":
            return ",".join([*sorted(set(_ingress(service))), *external]) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName", ""))
    return "<unknown>"


def _ingress(service: Obj) -> Iterator[str]:
    balancer = (service.get("status") or {}).get("loadBalancer") or {}
    for ingress in balancer.get("ingress") or ():
        if address := ingress.get("ip") or ingress.get("hostname"):
            yield address


RESOURCE = Resource(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    definition="io.k8s.api.core.v1.Service",
    singular="service",
    short=("svc",),
    categories=("all",),
    subresources=("proxy", "status"),
    fields={
        "spec.clusterIP": lambda service: str(service["spec"].get("clusterIP", "")),
        "spec.type": lambda service: str(service["spec"].get("type", "")),
    },
    strategy=Strategy(
        columns=(
            NAME,
            Column("Type", description="How the Service is exposed."),
            Column("Cluster-IP", description="The Service's virtual address; None for a headless Service."),
            Column("External-IP", description="Addresses or the name under which it is reached from outside."),
            Column("Port(s)", description="The ports that are exposed by this Service."),
            AGE,
            Column("Selector", priority=1, description="The labels of the pods that traffic goes to."),
        ),
        row=_row,
        default=_default,
        prepare_create=_prepare_create,
        prepare_update=_prepare_update,
        validate=service_validation.validate,
        validate_update=service_validation.validate_update,
        validate_status=service_validation.validate_status,
        warnings=_warnings,
    ),
)
