"""LimitRange (core/v1).

Source: k8s.io/kubernetes/pkg/apis/core/{v1/defaults.go,validation} (1.32).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import NAME

_BOUNDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_MUST_NOT_EXCEED = (
    ("min", "max", "min value {} is greater than max value {}"),
    ("min", "defaultRequest", "min value {} is greater than default request value {}"),
    ("defaultRequest", "max", "default request value {} is greater than max value {}"),
    ("defaultRequest", "default", "default request value {} is greater than default limit value {}"),
    ("min", "default", "min value {} is greater than default value {}"),
    ("default", "max", "default value {} is greater than max value {}"),
)
# The later value of a pair is what is at fault in these.
_AT = {("min", "max"): "min", ("min", "default"): "default", ("default", "max"): "default"}


def _default(limits: Obj) -> None:
    for item in limits.setdefault("spec", {}).setdefault("limits", None) or ():
        if item.get("type") != "Container":
            continue
        default = {**(item.get("max") or {}), **(item.get("default") or {})}
        request = {**(item.get("min") or {}), **default, **(item.get("defaultRequest") or {})}
        if default:
            item["default"] = default
        if request:
            item["defaultRequest"] = request


def _validate(limits: Obj) -> list[FieldError]:
    return objectmeta.validate(limits["metadata"], namespaced=True) + _spec(limits["spec"])


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"]) + _spec(new["spec"])


def _spec(spec: Obj) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[str] = set()
    for i, item in enumerate(spec["limits"] or ()):
        path, kind = f"spec.limits[{i}]", item.get("type", "")
        found += validation.each(validation.qualified_name, f"{path}.type", kind)
        if kind in seen:
            found.append(fields.duplicate(f"{path}.type", kind))
        seen.add(kind)
        found += _item(item, kind, path)
    return found


def _item(item: Obj, kind: str, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    if kind == "Pod":
        for key in ("default", "defaultRequest"):
            if item.get(key):
                found.append(fields.forbidden(f"{path}.{key}", "may not be specified when `type` is 'Pod'"))
    if kind == "PersistentVolumeClaim" and not ({"storage"} & {*(item.get("min") or ()), *(item.get("max") or ())}):
        text = "either minimum or maximum storage value is required, but neither was provided"
        found.append(fields.required(f"{path}.limits", text))
    amounts = {key: {n: Quantity.parse(q) for n, q in (item.get(key) or {}).items()} for key in _BOUNDS}
    for low, high, text in _MUST_NOT_EXCEED:
        for name in sorted(amounts[low].keys() & amounts[high].keys()):
            less, more = amounts[low][name], amounts[high][name]
            if less > more:
                at = _AT.get((low, high), "defaultRequest")
                value = amounts[at][name]
                found.append(fields.invalid(f"{path}.{at}[{name}]", str(value), text.format(less, more)))
    return found + _ratios(amounts, path)


def _ratios(amounts: dict[str, dict[str, Quantity]], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for name, ratio in amounts["maxLimitRequestRatio"].items():
        at, least, most = f"{path}.maxLimitRequestRatio[{name}]", amounts["min"].get(name), amounts["max"].get(name)
        if ratio.amount < 1:
            found.append(fields.invalid(at, str(ratio), f"ratio {ratio} is less than 1"))
        if least and most and least.amount and ratio.amount > most.amount / least.amount:
            limit = f"{most.amount / least.amount:f}"
            found.append(fields.invalid(at, str(ratio), f"ratio {ratio} is greater than max/min = {limit}"))
    return found


def _row(limits: Obj, now: datetime) -> list[Any]:
    return [meta.name(limits), limits["metadata"].get("creationTimestamp", "")]


RESOURCE = Resource(
    group="",
    version="v1",
    kind="LimitRange",
    plural="limitranges",
    definition="io.k8s.api.core.v1.LimitRange",
    singular="limitrange",
    short=("limits",),
    strategy=Strategy(
        columns=(NAME, Column("Created At", type="date", description="When it was made.")),
        row=_row,
        default=_default,
        validate=_validate,
        validate_update=_validate_update,
    ),
)
