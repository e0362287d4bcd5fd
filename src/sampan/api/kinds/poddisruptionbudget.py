"""PodDisruptionBudget (policy/v1).

Source: k8s.io/kubernetes/pkg/apis/policy/validation, pkg/registry/policy/poddisruptionbudget (1.32).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.kinds import workload
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

_BOUNDS = ("minAvailable", "maxUnavailable")
_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def _prepare_create(budget: Obj) -> None:
    budget["status"] = dict.fromkeys(_COUNTS, 0)


def _default(budget: Obj) -> None:
    budget.setdefault("spec", {})


def _validate(budget: Obj) -> list[FieldError]:
    return objectmeta.validate(budget["metadata"], namespaced=True) + _spec(budget["spec"])


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"]) + _spec(new["spec"])


def _validate_status(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"]) + workload.status_counts(new, _COUNTS)


def _spec(spec: Obj) -> list[FieldError]:
    if all(spec.get(key) is not None for key in _BOUNDS):
        text = "minAvailable and maxUnavailable cannot be both set"
        return [fields.invalid("spec", fields.Raw("policy.PodDisruptionBudgetSpec{…}"), text)]
    found: list[FieldError] = []
    for key in _BOUNDS:
        if (value := spec.get(key)) is not None:
            found += workload.int_or_percent(f"spec.{key}", value)
            if isinstance(value, str) and workload.number(value) > 100:
                shown = workload.go_int_or_string(value)
                found.append(fields.invalid(f"spec.{key}", shown, "must not be greater than 100%"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    known = ("AlwaysAllow", "IfHealthyBudget")
    if policy is not None and policy not in known:
        found.append(fields.not_supported("spec.unhealthyPodEvictionPolicy", policy, known))
    return found + validation.label_selector("spec.selector", spec.get("selector"))


def _row(budget: Obj, now: datetime) -> list[Any]:
    spec, status = budget["spec"], budget.get("status") or {}
    bounds = [str(spec[key]) if spec.get(key) is not None else "N/A" for key in _BOUNDS]
    return [meta.name(budget), *bounds, status.get("disruptionsAllowed") or 0, age(budget, now)]


RESOURCE = Resource(
    group="policy",
    version="v1",
    kind="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    definition="io.k8s.api.policy.v1.PodDisruptionBudget",
    singular="poddisruptionbudget",
    short=("pdb",),
    subresources=("status",),
    generation=True,
    strategy=Strategy(
        columns=(
            NAME,
            Column("Min Available", description="How many pods must stay healthy."),
            Column("Max Unavailable", description="How many pods may be away."),
            Column("Allowed Disruptions", type="integer", description="How many pods may be evicted now."),
            AGE,
        ),
        row=_row,
        default=_default,
        prepare_create=_prepare_create,
        validate=_validate,
        validate_update=_validate_update,
        validate_status=_validate_status,
    ),
)
