"""HorizontalPodAutoscaler (autoscaling/v2).

Source: k8s.io/kubernetes/pkg/apis/autoscaling/{v2/defaults.go,validation}, pkg/printers/internalversion (1.32).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.kinds.hpa_behavior import default_behavior, validate_behavior
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

# MetricSpec.type → the field that holds it.
SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_VALUES = ("value", "averageValue", "averageUtilization")
_SHOWN = 2  # metrics in the table before "+ 1 more..."


def _default(autoscaler: Obj) -> None:
    spec = autoscaler.setdefault("spec", {})
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    if spec.get("behavior") is not None:
        default_behavior(spec["behavior"])


def _prepare_create(autoscaler: Obj) -> None:
    autoscaler["status"] = {"desiredReplicas": 0, "currentMetrics": None}


def _validate(autoscaler: Obj) -> list[FieldError]:
    return objectmeta.validate(autoscaler["metadata"], namespaced=True) + _spec(autoscaler["spec"])


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"]) + _spec(new["spec"])


def _validate_status(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    status = new.get("status") or {}
    for key in ("currentReplicas", "desiredReplicas"):
        found += validation.nonnegative(f"status.{key}", status.get(key) or 0)
    return found


def _spec(spec: Obj) -> list[FieldError]:
    least, most = spec["minReplicas"], spec.get("maxReplicas", 0)
    found: list[FieldError] = []
    if least < 1:
        found.append(fields.invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        found.append(fields.invalid("spec.maxReplicas", most, "must be greater than 0"))
    if most < least:
        found.append(fields.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    found += _reference(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
    for i, metric in enumerate(spec["metrics"]):
        found += _metric(metric, f"spec.metrics[{i}]")
    return found + validate_behavior(spec.get("behavior") or {}, "spec.behavior")


def _reference(reference: Obj, path: str) -> list[FieldError]:
    return [fields.required(f"{path}.{key}") for key in ("kind", "name") if not reference.get(key)]


def _metric(metric: Obj, path: str) -> list[FieldError]:
    kind = metric.get("type", "")
    if not kind:
        return [fields.required(f"{path}.type", "must specify a metric source type")]
    if kind not in SOURCES:
        return [fields.not_supported(f"{path}.type", kind, sorted(SOURCES))]
    present = [key for key in SOURCES.values() if metric.get(key) is not None]
    own = SOURCES[kind]
    found: list[FieldError] = []
    if own not in present:
        found.append(fields.required(f"{path}.{own}", "must populate information for the given metric source"))
    else:
        found += _source(metric[own], own, f"{path}.{own}")
    text = "must populate the given metric source only"
    return found + [fields.forbidden(f"{path}.{key}", text) for key in present if key != own]


def _source(source: Obj, key: str, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    if key in ("resource", "containerResource"):
        if key == "containerResource" and not source.get("container"):
            found.append(fields.required(f"{path}.container", "must specify a container name"))
        if not source.get("name"):
            found.append(fields.required(f"{path}.name", "must specify a resource name"))
    else:
        if key == "object":
            found += _reference(source.get("describedObject") or {}, f"{path}.describedObject")
        if not (source.get("metric") or {}).get("name"):
            found.append(fields.required(f"{path}.metric.name", "must specify a metric name"))
    return found + _target(source.get("target") or {}, key, f"{path}.target")


def _target(target: Obj, key: str, path: str) -> list[FieldError]:
    kind = target.get("type", "")
    if not kind:
        return [fields.required(f"{path}.type", "must specify a metric target type")]
    if kind not in ("AverageValue", "Utilization", "Value"):
        text = "must be either Utilization, Value, or AverageValue"
        return [fields.invalid(f"{path}.type", kind, text)]
    found: list[FieldError] = []
    for name in ("value", "averageValue"):
        if target.get(name) is not None and Quantity.parse(target[name]) <= Quantity.ZERO:
            found.append(fields.invalid(f"{path}.{name}", str(target[name]), "must be positive"))
    used = target.get("averageUtilization")
    if used is not None and used < 1:
        found.append(fields.invalid(f"{path}.averageUtilization", used, "must be greater than 0"))
    if key in ("resource", "containerResource"):
        if used is None and target.get("averageValue") is None:
            text = "must set either a target raw value or a target utilization"
            found.append(fields.required(f"{path}.averageUtilization", text))
        if used is not None and target.get("averageValue") is not None:
            text = "may not set both a target raw value and a target utilization"
            found.append(fields.forbidden(f"{path}.averageValue", text))
    elif not any(target.get(name) is not None for name in ("value", "averageValue")):
        text = "must set either a target value for metric or a per-pod target"
        found.append(fields.required(f"{path}.averageValue", text))
    return found


def _row(autoscaler: Obj, now: datetime) -> list[Any]:
    spec, status = autoscaler["spec"], autoscaler.get("status") or {}
    target = spec["scaleTargetRef"]
    return [
        meta.name(autoscaler),
        f"{target['kind']}/{target['name']}",
        _targets(spec["metrics"], status.get("currentMetrics") or []),
        str(spec["minReplicas"]),
        spec["maxReplicas"],
        status.get("currentReplicas") or 0,
        age(autoscaler, now),
    ]


def _targets(metrics: list[Obj], current: list[Obj]) -> str:
    """Like `cpu: 12%/80%, memory: <unknown>/1Gi + 1 more...`."""
    shown = []
    for i, metric in enumerate(metrics):
        key = SOURCES[metric["type"]]
        found = (current[i].get(key) or {}).get("current") if i < len(current) else None
        shown.append(_one_target(metric[key], key, found or {}))
    text = ", ".join(shown[:_SHOWN])
    return f"{text} + {len(shown) - _SHOWN} more..." if len(shown) > _SHOWN else text


def _one_target(source: Obj, key: str, current: Obj) -> str:
    target = source["target"]
    name = next(n for n in reversed(_VALUES) if target.get(n) is not None)
    sign = "%" if name == "averageUtilization" else ""
    found = f"{current[name]}{sign}" if current.get(name) is not None else "<unknown>"
    average = " (avg)" if name == "averageValue" and key in ("external", "object") else ""
    label = f"{source['name']}: " if key in ("resource", "containerResource") else ""
    return f"{label}{found}/{target[name]}{sign}{average}"


RESOURCE = Resource(
    group="autoscaling",
    version="v2",
    kind="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    definition="io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    singular="horizontalpodautoscaler",
    short=("hpa",),
    categories=("all",),
    subresources=("status",),
    strategy=Strategy(
        columns=(
            NAME,
            Column("Reference", description="What is scaled."),
            Column("Targets", description="What is measured, and what it should be."),
            Column("MinPods", description="Never fewer than these."),
            Column("MaxPods", description="Never more than these."),
            Column("Replicas", description="How many there are."),
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
