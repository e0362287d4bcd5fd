"""HorizontalPodAutoscaler (autoscaling/v1), which `kubectl autoscale` still writes: another view of the v2 objects.

What v1 has no fields for travels in annotations. Source: k8s.io/kubernetes/pkg/apis/autoscaling/v1/conversion.go
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from sampan.api.kinds import horizontalpodautoscaler as v2
from sampan.api.meta import Obj, copy
from sampan.api.scheme import Strategy, View
from sampan.api.status import FieldError

_PREFIX = "autoscaling.alpha.kubernetes.io/"
_CPU, _CURRENT_CPU = "targetCPUUtilizationPercentage", "currentCPUUtilizationPercentage"
_COUNTS = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")


def from_v2(obj: Obj) -> Obj:
    new = copy(obj) | {"apiVersion": "autoscaling/v1"}
    spec, status = new.get("spec") or {}, new.get("status") or {}
    kept = {key: spec[key] for key in ("scaleTargetRef", "minReplicas", "maxReplicas") if key in spec}
    metrics, others = spec.get("metrics") or [], []
    for metric in metrics:
        if _CPU not in kept and (percent := _cpu(metric, "target")) is not None:
            kept[_CPU] = percent
        else:
            others.append(metric)
    shown: Obj = {"metrics": others, "behavior": spec.get("behavior"), "conditions": status.get("conditions")}
    told = {key: status[key] for key in _COUNTS if key in status}
    current = status.get("currentMetrics") or []
    if percents := [found for metric in current if (found := _cpu(metric, "current")) is not None]:
        told[_CURRENT_CPU] = percents[0]
    shown["current-metrics"] = [metric for metric in current if _cpu(metric, "current") is None]
    new["spec"], new["status"] = kept, told
    notes = {f"{_PREFIX}{key}": json.dumps(value, separators=(",", ":")) for key, value in shown.items() if value}
    if notes:
        new["metadata"]["annotations"] = {**(new["metadata"].get("annotations") or {}), **notes}
    return new


def to_v2(obj: Obj) -> Obj:
    new = copy(obj) | {"apiVersion": "autoscaling/v2"}
    spec, status = new.get("spec") or {}, new.get("status") or {}
    notes = _take_notes(new["metadata"])
    metrics: list[Obj] = []
    if (percent := spec.pop(_CPU, None)) is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    metrics += notes.get("metrics") or []
    if metrics:
        spec["metrics"] = metrics
    if behavior := notes.get("behavior"):
        spec["behavior"] = behavior
    current: list[Obj] = []
    if (percent := status.pop(_CURRENT_CPU, None)) is not None:
        current.append({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}})
    current += notes.get("current-metrics") or []
    status |= {"currentMetrics": current or None} | (
        {"conditions": notes["conditions"]} if "conditions" in notes else {}
    )
    new["spec"], new["status"] = spec, {"desiredReplicas": 0, **status}
    v2.RESOURCE.strategy.default(new)
    return new


def _cpu(metric: Obj, key: str) -> int | None:
    """The utilization of a plain cpu metric."""
    source = metric.get("resource") or {}
    found = (source.get(key) or {}).get("averageUtilization")
    return int(found) if source.get("name") == "cpu" and found is not None else None


def _take_notes(metadata: Obj) -> dict[str, Any]:
    """What annotations say of fields that v1 lacks; they are taken off. One that is not JSON counts for nothing."""
    annotations = metadata.get("annotations") or {}
    found = {}
    for key in [key for key in annotations if key.startswith(_PREFIX)]:
        try:
            found[key.removeprefix(_PREFIX)] = json.loads(annotations.pop(key))
        except ValueError:
            continue
    if not annotations:
        metadata.pop("annotations", None)
    return found


def _default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1


def _validate(obj: Obj) -> list[FieldError]:
    return _renamed(v2.RESOURCE.strategy.validate(to_v2(obj)))


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return _renamed(v2.RESOURCE.strategy.validate_update(to_v2(new), to_v2(old)))


def _renamed(errors: list[FieldError]) -> list[FieldError]:
    """The cpu target has a name of its own here."""
    inner = "spec.metrics[0].resource.target.averageUtilization"
    return [replace(e, field=f"spec.{_CPU}") if e.field == inner else e for e in errors]


RESOURCE = replace(
    v2.RESOURCE,
    version="v1",
    definition="io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
    storage=False,
    view=View(v2.RESOURCE, from_v2, to_v2),
    strategy=Strategy(
        columns=v2.RESOURCE.strategy.columns,
        row=lambda obj, now: v2.RESOURCE.strategy.row(to_v2(obj), now),
        default=_default,
        prepare_create=lambda obj: obj.update(status={"currentReplicas": 0, "desiredReplicas": 0}),
        validate=_validate,
        validate_update=_validate_update,
    ),
)
