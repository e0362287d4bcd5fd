"""Validation of Services.

Source: k8s.io/kubernetes/pkg/apis/core/validation (1.32).
"""

from __future__ import annotations

import ipaddress

from sampan.api import fields, objectmeta, validation
from sampan.api.kinds.service_addresses import FIXED, addresses_kept, cluster_ips, families, is_headless
from sampan.api.meta import Obj
from sampan.api.status import FieldError

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_TRAFFIC_POLICIES = ("Cluster", "Local")
_MAX_AFFINITY = 86400


def is_externally_accessible(spec: Obj) -> bool:
    """Can traffic come from outside the cluster?"""
    kind = spec.get("type")
    return kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def validate(service: Obj) -> list[FieldError]:
    return objectmeta.validate(service["metadata"], True, validation.dns_1035_label) + _spec(service["spec"])


def validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    now, before = new["spec"], old["spec"]
    if "ExternalName" not in (now["type"], before["type"]):
        found += addresses_kept(now, before)
    if now["type"] == before["type"] == "LoadBalancer":
        shown = now.get("loadBalancerClass")
        if shown != before.get("loadBalancerClass"):
            found.append(fields.invalid("spec.loadBalancerClass", shown, FIXED))
        if "Local" == now.get("externalTrafficPolicy") == before.get("externalTrafficPolicy"):
            number, previous = now.get("healthCheckNodePort"), before.get("healthCheckNodePort")
            if number and previous and number != previous:
                found.append(fields.forbidden("spec.healthCheckNodePort", "field is immutable"))
    return found + validate(new)


def _spec(spec: Obj) -> list[FieldError]:
    kind, headless, ports = spec.get("type", ""), is_headless(spec), spec.get("ports") or []
    found: list[FieldError] = []
    if not (ports or headless or kind == "ExternalName"):
        found.append(fields.required("spec.ports"))
    if headless and kind in ("LoadBalancer", "NodePort"):
        text = f"may not be set to 'None' for {kind} services"
        found.append(fields.invalid("spec.clusterIPs[0]", "None", text))
    if kind == "ExternalName":
        found += _external_name(spec)
    found += _ports(ports)
    found += validation.labels("spec.selector", spec.get("selector"))
    found += validation.one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    found += _affinity_config(spec)
    if kind != "ExternalName":
        found += cluster_ips(spec) + families(spec)
    for i, address in enumerate(spec.get("externalIPs") or ()):
        found += validation.ordinary_ip(f"spec.externalIPs[{i}]", address)
    found += validation.one_of("spec.type", kind, _TYPES)
    if kind == "ClusterIP":
        text = "may not be used when `type` is 'ClusterIP'"
        found += [fields.forbidden(f"spec.ports[{i}].nodePort", text) for i, p in enumerate(ports) if p.get("nodePort")]
    return found + _repeated(ports) + _load_balancer(spec) + _traffic(spec)


def _external_name(spec: Obj) -> list[FieldError]:
    found = [
        fields.forbidden(f"spec.{key}", "may not be set for ExternalName services")
        for key in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
        if spec.get(key)
    ]
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        return [*found, fields.required("spec.externalName")]
    return found + validation.each(validation.dns_subdomain, "spec.externalName", name)


def _ports(ports: list[Obj]) -> list[FieldError]:
    found: list[FieldError] = []
    names: set[str] = set()
    for i, port in enumerate(ports):
        at, name = f"spec.ports[{i}]", port.get("name", "")
        if name:
            found += validation.each(validation.dns_label, f"{at}.name", name)
            if name in names:
                found.append(fields.duplicate(f"{at}.name", name))
            names.add(name)
        elif len(ports) > 1:
            found.append(fields.required(f"{at}.name"))
        found += validation.port(f"{at}.port", port.get("port", 0))
        found += validation.one_of(f"{at}.protocol", port.get("protocol"), validation.PROTOCOLS)
        found += validation.port_or_name(f"{at}.targetPort", port.get("targetPort", 0))
        if (protocol := port.get("appProtocol")) is not None:
            found += validation.each(validation.qualified_name, f"{at}.appProtocol", protocol)
    return found


def _affinity_config(spec: Obj) -> list[FieldError]:
    path, affinity = "spec.sessionAffinityConfig", spec.get("sessionAffinity")
    config = spec.get("sessionAffinityConfig")
    if affinity == "None" and config is not None:
        return [fields.forbidden(path, "must not be set when session affinity is None")]
    if affinity != "ClientIP":
        return []
    seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
    if seconds is None:
        return [fields.required(path, "when session affinity type is ClientIP")]
    if 0 < seconds <= _MAX_AFFINITY:
        return []
    text = f"must be greater than 0 and less than {_MAX_AFFINITY}"
    return [fields.invalid(f"{path}.clientIP.timeoutSeconds", seconds, text)]


def _repeated(ports: list[Obj]) -> list[FieldError]:
    """Node ports, and (protocol, port) pairs, that stand twice."""
    found: list[FieldError] = []
    for i, port in enumerate(ports):
        pairs = [(p.get("protocol"), p.get("nodePort")) for p in ports[:i]]
        if port.get("nodePort") and (port.get("protocol"), port["nodePort"]) in pairs:
            found.append(fields.duplicate(f"spec.ports[{i}].nodePort", port["nodePort"]))
    for i, port in enumerate(ports):
        pair = port.get("protocol"), port.get("port")
        if pair in [(p.get("protocol"), p.get("port")) for p in ports[:i]]:
            shown = (
                f'core.ServicePort{{Name:"", Protocol:"{pair[0]}", AppProtocol:(*string)(nil), Port:{pair[1]}, '
                'TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:""}, NodePort:0}'
            )
            found.append(fields.duplicate(f"spec.ports[{i}]", fields.Raw(shown)))
    return found


def _load_balancer(spec: Obj) -> list[FieldError]:
    found: list[FieldError] = []
    text = "may only be used when `type` is 'LoadBalancer'"
    other = spec.get("type") != "LoadBalancer"
    ranges = spec.get("loadBalancerSourceRanges") or []
    if ranges and other:
        # Spelled with a capital by kube-apiserver.
        found.append(fields.forbidden("spec.LoadBalancerSourceRanges", text))
    for i, cidr in enumerate(ranges):
        found += _cidr(f"spec.LoadBalancerSourceRanges[{i}]", cidr.strip())
    for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
        if other and spec.get(key) is not None:
            found.append(fields.forbidden(f"spec.{key}", text))
    if not other and spec.get("loadBalancerClass") is not None:
        found += validation.each(validation.qualified_name, "spec.loadBalancerClass", spec["loadBalancerClass"])
    return found


def _cidr(path: str, value: str) -> list[FieldError]:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return [fields.invalid(path, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")]
    return []


def _traffic(spec: Obj) -> list[FieldError]:
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    found: list[FieldError] = []
    if is_externally_accessible(spec):
        found += validation.one_of("spec.externalTrafficPolicy", external, _TRAFFIC_POLICIES)
    elif external:
        text = "may only be set for externally-accessible services"
        found.append(fields.invalid("spec.externalTrafficPolicy", external, text))
    # One that is needed and missing is allocated by the server, after this.
    if health := spec.get("healthCheckNodePort"):
        if spec.get("type") == "LoadBalancer" and external == "Local":
            found += validation.port("spec.healthCheckNodePort", health)
        else:
            text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            found.append(fields.invalid("spec.healthCheckNodePort", health, text))
    if internal is not None and internal not in _TRAFFIC_POLICIES:
        found.append(fields.not_supported("spec.internalTrafficPolicy", internal, _TRAFFIC_POLICIES))
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution != "PreferClose":
        found.append(fields.not_supported("spec.trafficDistribution", distribution, ("PreferClose",)))
    return found


def validate_status(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    ingresses = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    path = "status.loadBalancer.ingress"
    if ingresses and new["spec"].get("type") != "LoadBalancer":
        return [*found, fields.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    for i, ingress in enumerate(ingresses):
        if ingress.get("ip"):
            found += validation.ip(f"{path}[{i}].ip", ingress["ip"])
        if mode := ingress.get("ipMode"):
            if not ingress.get("ip"):
                text = "may not be specified when `ip` is not set"
                found.append(fields.forbidden(f"{path}[{i}].ipMode", text))
            elif mode not in ("Proxy", "VIP"):
                found.append(fields.not_supported(f"{path}[{i}].ipMode", mode, ("Proxy", "VIP")))
        if ingress.get("hostname"):
            found += validation.each(validation.dns_subdomain, f"{path}[{i}].hostname", ingress["hostname"])
    return found
