"""Validation of requests and limits of containers and pods. That amounts are amounts was checked by the decoder.

Source: k8s.io/kubernetes/pkg/apis/core/{validation,helper} (1.32).
"""

from __future__ import annotations

from sampan.api import fields, validation
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity
from sampan.api.status import FieldError

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
# Counted in quotas, so they are resource names, though no container can ask for them.
_OTHERS = (
    *(f"{kind}.{name}" for kind in ("requests", "limits") for name in _COMPUTE),
    *("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps"),
    *("persistentvolumeclaims", "storage", "requests.storage", "services.nodeports", "services.loadbalancers"),
)


def validate_resources(resources: Obj, path: str) -> list[FieldError]:
    """A ResourceRequirements: known names, good amounts, requests within limits."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    found: list[FieldError] = []
    for name, amount in limits.items():
        found += _name(name, f"{path}.limits[{name}]") + _amount(name, amount, f"{path}.limits[{name}]")
    for name, amount in requests.items():
        found += _name(name, f"{path}.requests[{name}]") + _amount(name, amount, f"{path}.requests[{name}]")
        found += _within(name, amount, limits, path)
    asked = {*limits, *requests}
    if any(map(_is_huge_page, asked)) and not asked & {"cpu", "memory"}:
        found.append(fields.forbidden(path, "HugePages require cpu or memory"))
    return found


def _is_huge_page(name: str) -> bool:
    return name.startswith("hugepages-")


def _is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def _may_overcommit(name: str) -> bool:
    return _is_native(name) and not _is_huge_page(name)


def _name(name: str, path: str) -> list[FieldError]:
    found = validation.each(validation.qualified_name, path, name)
    if "/" not in name:
        for_containers = name in _COMPUTE or _is_huge_page(name)
        if not (found or for_containers or name in _OTHERS):
            found.append(fields.invalid(path, name, "must be a standard resource type or fully qualified"))
        if not for_containers:
            found.append(fields.invalid(path, name, "must be a standard resource for containers"))
    elif not _is_native(name) and (name.startswith("requests.") or validation.qualified_name(f"requests.{name}")):
        found.append(fields.invalid(path, name, "doesn't follow extended resource name standard"))
    return found


def _amount(name: str, amount: str, path: str) -> list[FieldError]:
    parsed = Quantity.parse(amount)
    found = validation.quantity(path, amount)
    if not _is_native(name) and parsed.amount != parsed.value:
        found.append(fields.invalid(path, fields.Raw(str(parsed)), "must be an integer"))
    return found


def _within(name: str, amount: str, limits: Obj, path: str) -> list[FieldError]:
    if name not in limits:
        if _may_overcommit(name):
            return []
        return [fields.required(f"{path}.limits", "Limit must be set for non overcommitable resources")]
    request, limit = Quantity.parse(amount), Quantity.parse(limits[name])
    if request == limit:
        return []
    if not _may_overcommit(name):
        return [fields.invalid(f"{path}.requests", str(request), f"must be equal to {name} limit of {limit}")]
    if request > limit:
        text = f"must be less than or equal to {name} limit of {limit}"
        return [fields.invalid(f"{path}.requests", str(request), text)]
    return []
