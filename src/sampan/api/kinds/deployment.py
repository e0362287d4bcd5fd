"""Deployment (apps/v1).

Source: k8s.io/kubernetes/pkg/apis/apps/{v1/defaults.go,validation}, pkg/registry/apps/deployment (1.32).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.kinds import workload
from sampan.api.kinds.pod_warnings import template_warnings
from sampan.api.kinds.podspec_defaults import default_pod_template
from sampan.api.kinds.podspec_validation import validate_selected_template
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

_COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")
_STRATEGY = "spec.strategy"


def _default(deployment: Obj) -> None:
    spec = deployment.setdefault("spec", {})
    for key, value in (("replicas", 1), ("revisionHistoryLimit", 10), ("progressDeadlineSeconds", 600)):
        if spec.get(key) is None:
            spec[key] = value
    strategy = spec["strategy"] = spec.get("strategy") or {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
        for key in ("maxSurge", "maxUnavailable"):
            if rolling.get(key) is None:
                rolling[key] = "25%"
    default_pod_template(spec.setdefault("template", {}))


def _prepare_create(deployment: Obj) -> None:
    deployment["status"] = {}


def _validate(deployment: Obj) -> list[FieldError]:
    return objectmeta.validate(deployment["metadata"], namespaced=True) + _spec(deployment["spec"])


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"]) + _spec(new["spec"])
    return found + workload.selector_kept(new, old)


def _validate_status(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    return found + workload.status_counts(new, ("observedGeneration", *_COUNTS))


def _spec(spec: Obj) -> list[FieldError]:
    found = validation.nonnegative("spec.replicas", spec.get("replicas", 0))
    found += validate_selected_template(spec, "ReplicaSet") + _strategy(spec["strategy"])
    ready, deadline = spec.get("minReadySeconds") or 0, spec.get("progressDeadlineSeconds")
    found += validation.nonnegative("spec.minReadySeconds", ready)
    found += validation.nonnegative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit") or 0)
    if deadline is not None:
        found += validation.nonnegative("spec.progressDeadlineSeconds", deadline)
        if deadline <= ready:
            text = "must be greater than minReadySeconds"
            found.append(fields.invalid("spec.progressDeadlineSeconds", deadline, text))
    return found


def _strategy(strategy: Obj) -> list[FieldError]:
    kind, rolling = strategy["type"], strategy.get("rollingUpdate")
    if kind == "RollingUpdate":
        return _rolling(rolling or {})
    if kind != "Recreate":
        shown = (
            f"apps.DeploymentStrategy{{Type:{fields.quote(kind)}, RollingUpdate:(*apps.RollingUpdateDeployment)(nil)}}"
        )
        return [fields.not_supported(_STRATEGY, fields.Raw(shown), ("Recreate", "RollingUpdate"))]
    if rolling is not None:
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [fields.forbidden(f"{_STRATEGY}.rollingUpdate", text)]
    return []


def _rolling(rolling: Obj) -> list[FieldError]:
    surge, unavailable = rolling.get("maxSurge", 0), rolling.get("maxUnavailable", 0)
    path = f"{_STRATEGY}.rollingUpdate.maxUnavailable"
    found = workload.int_or_percent(path, unavailable)
    found += workload.int_or_percent(f"{_STRATEGY}.rollingUpdate.maxSurge", surge)
    if not (workload.number(surge) or workload.number(unavailable)):
        found.append(fields.invalid(path, workload.go_int_or_string(unavailable), "may not be 0 when `maxSurge` is 0"))
    if isinstance(unavailable, str) and workload.number(unavailable) > 100:
        found.append(fields.invalid(path, workload.go_int_or_string(unavailable), "must not be greater than 100%"))
    return found


def _row(deployment: Obj, now: datetime) -> list[Any]:
    status = deployment.get("status") or {}
    return [
        meta.name(deployment),
        f"{status.get('readyReplicas', 0)}/{deployment['spec'].get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(deployment, now),
        *workload.wide_cells(deployment),
    ]


RESOURCE = Resource(
    group="apps",
    version="v1",
    kind="Deployment",
    plural="deployments",
    definition="io.k8s.api.apps.v1.Deployment",
    singular="deployment",
    short=("deploy",),
    categories=("all",),
    subresources=("scale", "status"),
    generation=True,
    strategy=Strategy(
        columns=(
            NAME,
            Column("Ready", description="Number of the pod with ready state"),
            Column("Up-to-date", description="Pods that have the template that is wanted now."),
            Column("Available", description="Pods that have been ready for at least minReadySeconds."),
            AGE,
            *workload.WIDE_COLUMNS,
        ),
        row=_row,
        default=_default,
        prepare_create=_prepare_create,
        validate=_validate,
        validate_update=_validate_update,
        validate_status=_validate_status,
        warnings=template_warnings,
    ),
)
