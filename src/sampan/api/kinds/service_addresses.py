"""Validation of a Service's cluster IPs and IP families.

Source: k8s.io/kubernetes/pkg/apis/core/validation, pkg/registry/core/service/storage/alloc.go (1.32).
"""

from __future__ import annotations

import ipaddress
from typing import Any

from sampan.api import fields, validation
from sampan.api.meta import Obj
from sampan.api.status import FieldError

FIXED = "may not change once set"
_FAMILIES = ("IPv4", "IPv6")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")


def is_headless(spec: Obj) -> bool:
    return bool(spec.get("clusterIPs") == ["None"] or spec.get("clusterIP") == "None")


def cluster_ips(spec: Obj) -> list[FieldError]:
    path, address, addresses = "spec.clusterIPs", spec.get("clusterIP"), spec.get("clusterIPs") or []
    found: list[FieldError] = []
    if address and not addresses:
        found.append(fields.required(path))
    elif address and addresses[0] != address:
        found.append(fields.invalid(path, addresses, "first value must match `clusterIP`"))
    elif addresses and not address:
        found.append(fields.invalid(path, addresses, "must be empty when `clusterIP` is not specified"))
    for i, each in enumerate(addresses):
        if i == 0 and each == "None":
            if len(addresses) > 1:
                found.append(fields.invalid(path, addresses, "'None' must be the first and only value"))
        else:
            found += validation.ip(f"{path}[{i}]", each)
    if len(addresses) > 2:
        found.append(fields.invalid(path, addresses, "may only hold up to 2 values"))
    elif len(addresses) == 2 and not found and len({ipaddress.ip_address(a).version for a in addresses}) == 1:
        found.append(fields.invalid(path, addresses, "may specify no more than one IP for each IP family"))
    return found


def families(spec: Obj) -> list[FieldError]:
    """Known families and policies, and those this cluster has: IPv4."""
    found: list[FieldError] = []
    listed, policy = spec.get("ipFamilies") or [], spec.get("ipFamilyPolicy")
    for i, family in enumerate(listed):
        at = f"spec.ipFamilies[{i}]"
        if family not in _FAMILIES:
            found.append(fields.not_supported(at, family, _FAMILIES))
        if family in listed[:i]:
            found.append(fields.duplicate(at, family))
    if policy is not None and policy not in _FAMILY_POLICIES:
        found.append(fields.not_supported("spec.ipFamilyPolicy", policy, _FAMILY_POLICIES))
    if found or (is_headless(spec) and not spec.get("selector")):
        return found
    if policy == "RequireDualStack":
        text = "this cluster is not configured for dual-stack services"
        found.append(fields.invalid("spec.ipFamilyPolicy", policy, text))
    for i, family in enumerate(listed):
        if family != "IPv4":
            found.append(fields.invalid(f"spec.ipFamilies[{i}]", family, "not configured on this cluster"))
    if listed:
        for i, address in enumerate(spec.get("clusterIPs") or ()):
            if ":" in address:
                text = "expected an IPv4 value as indicated by `ipFamilies[0]`"
                found.append(fields.invalid(f"spec.clusterIPs[{i}]", address, text))
    return found


def addresses_kept(now: Obj, before: Obj) -> list[FieldError]:
    """An update may not change the first cluster IP, nor its family. Both are specs, neither is an ExternalName's."""
    found: list[FieldError] = []
    headless = is_headless(now), is_headless(before)
    if all(headless):
        return []
    addresses, previous = now.get("clusterIPs") or [], before.get("clusterIPs") or []
    if previous and not addresses:
        found.append(fields.invalid("spec.clusterIPs[0]", _list(addresses), "primary clusterIP can not be unset"))
    elif previous and addresses[0] != previous[0]:
        found.append(fields.invalid("spec.clusterIPs[0]", _list(addresses), FIXED))
    ip_families, known = now.get("ipFamilies") or [], before.get("ipFamilies") or []
    if not any(headless) and known and ip_families and ip_families[0] != known[0]:
        shown = fields.Raw(f"[]core.IPFamily{{{', '.join(map(fields.quote, ip_families))}}}")
        found.append(fields.invalid("spec.ipFamilies[0]", shown, FIXED))
    return found


def _list(values: list[str]) -> Any:
    return values or fields.Raw("[]string(nil)")
