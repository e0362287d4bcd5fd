"""ResourceQuota (core/v1).

Source: k8s.io/kubernetes/pkg/apis/core/validation, pkg/printers/internalversion (1.32).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

SCOPES = ("BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating")
_CONFLICTS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
# What a quota may count besides count/RESOURCE.GROUP, hugepages-SIZE, requests.EXTENDED and CLASS.storageclass….
_STANDARD = frozenset(
    (
        *_COMPUTE,
        *(f"{kind}.{name}" for kind in ("requests", "limits") for name in _COMPUTE),
        *("requests.storage", "pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps"),
        *("persistentvolumeclaims", "services.nodeports", "services.loadbalancers"),
    )
)
_OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")


def _validate(quota: Obj) -> list[FieldError]:
    return objectmeta.validate(quota["metadata"], namespaced=True) + _spec(quota.get("spec") or {})


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"]) + _spec(new.get("spec") or {})
    for key in ("scopes", "scopeSelector"):
        now, before = (new.get("spec") or {}).get(key), (old.get("spec") or {}).get(key)
        shown = sorted(now) if key == "scopes" and now else fields.Raw("core.ScopeSelector{…}")
        found += validation.immutable(f"spec.{key}", now, before, shown)
    return found


def _spec(spec: Obj) -> list[FieldError]:
    found: list[FieldError] = []
    for name, amount in (spec.get("hard") or {}).items():
        path = f"spec.hard[{name}]"
        found += validation.each(validation.qualified_name, path, name)
        if "/" not in name and name not in _STANDARD and not name.startswith(("hugepages-", "requests.hugepages-")):
            found.append(fields.invalid(path, name, "must be a standard resource for quota"))
        found += validation.quantity(path, amount)
    return found + _scopes(spec)


def _scopes(spec: Obj) -> list[FieldError]:
    scopes = set(spec.get("scopes") or ())
    found: list[FieldError] = []
    text = "unsupported scope"
    found += [fields.invalid("spec.scopes", spec["scopes"], text) for scope in sorted(scopes) if scope not in SCOPES]
    if any(pair <= scopes for pair in _CONFLICTS):
        found.append(fields.invalid("spec.scopes", spec["scopes"], "conflicting scopes"))
    for i, term in enumerate((spec.get("scopeSelector") or {}).get("matchExpressions") or ()):
        path = f"spec.scopeSelector.matchExpressions[{i}]"
        if term.get("scopeName") not in SCOPES:
            found.append(fields.invalid(f"{path}.scopeName", term.get("scopeName", ""), text))
        operator, values = term.get("operator", ""), term.get("values")
        if operator not in _OPERATORS:
            found.append(fields.invalid(f"{path}.operator", operator, "not a valid selector operator"))
        elif operator in ("In", "NotIn") and not values:
            text_values = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            found.append(fields.required(f"{path}.values", text_values))
        elif operator in ("Exists", "DoesNotExist") and values:
            text_values = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector"
            found.append(fields.invalid(f"{path}.values", values, text_values))
    return found


def _row(quota: Obj, now: datetime) -> list[Any]:
    status = quota.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(hard):
        cell = f"{name}: {Quantity.parse(used.get(name, '0'))}/{Quantity.parse(hard[name])}"
        (limits if name.startswith("limits.") else requests).append(cell)
    return [meta.name(quota), ", ".join(requests), ", ".join(limits), age(quota, now)]


RESOURCE = Resource(
    group="",
    version="v1",
    kind="ResourceQuota",
    plural="resourcequotas",
    definition="io.k8s.api.core.v1.ResourceQuota",
    singular="resourcequota",
    short=("quota",),
    subresources=("status",),
    strategy=Strategy(
        columns=(
            NAME,
            Column("Request", description="What is requested or counted, of what may be."),
            Column("Limit", description="The sum of limits, of what it may be."),
            AGE,
        ),
        row=_row,
        prepare_create=lambda quota: quota.update(status={}),
        validate=_validate,
        validate_update=_validate_update,
    ),
)
