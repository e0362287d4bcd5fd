"""DaemonSet (apps/v1).

Source: k8s.io/kubernetes/pkg/apis/apps/{v1,validation}, pkg/registry/apps/daemonset (1.32).
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

# The older API's spec.templateGeneration; it goes up with each change of the template.
GENERATION = "deprecated.daemonset.template.generation"
_COUNTS = (
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
)
_STRATEGY = "spec.updateStrategy"


def _default(daemon_set: Obj) -> None:
    spec = daemon_set.setdefault("spec", {})
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    strategy = spec["updateStrategy"] = spec.get("updateStrategy") or {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
        for key, value in (("maxUnavailable", 1), ("maxSurge", 0)):
            if rolling.get(key) is None:
                rolling[key] = value
    default_pod_template(spec.setdefault("template", {}))


def _prepare_create(daemon_set: Obj) -> None:
    counts = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
    daemon_set["status"] = dict.fromkeys(counts, 0)
    _set_template_generation(daemon_set, 1)


def _prepare_update(new: Obj, old: Obj) -> None:
    present = int(meta.annotations(old).get(GENERATION, "1"))
    changed = new["spec"]["template"] != old["spec"]["template"]
    _set_template_generation(new, present + changed)


def _set_template_generation(daemon_set: Obj, number: int) -> None:
    daemon_set["metadata"]["annotations"] = {**meta.annotations(daemon_set), GENERATION: str(number)}


def _validate(daemon_set: Obj) -> list[FieldError]:
    return objectmeta.validate(daemon_set["metadata"], namespaced=True) + _spec(daemon_set["spec"])


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"]) + _spec(new["spec"])
    return found + workload.selector_kept(new, old)


def _spec(spec: Obj) -> list[FieldError]:
    found = validate_selected_template(spec, "DaemonSet", called="daemonset")
    found += validation.nonnegative("spec.minReadySeconds", spec.get("minReadySeconds") or 0)
    found += _strategy(spec["updateStrategy"])
    return found + validation.nonnegative("spec.revisionHistoryLimit", spec["revisionHistoryLimit"])


def _strategy(strategy: Obj) -> list[FieldError]:
    if strategy["type"] == "OnDelete":
        return []
    if strategy["type"] == "RollingUpdate":
        return _rolling(strategy.get("rollingUpdate") or {})
    shown = f"apps.DaemonSetUpdateStrategy{{Type:{fields.quote(strategy['type'])}, "
    shown += "RollingUpdate:(*apps.RollingUpdateDaemonSet)(nil)}"
    return [fields.not_supported(_STRATEGY, fields.Raw(shown), ("OnDelete", "RollingUpdate"))]


def _rolling(rolling: Obj) -> list[FieldError]:
    surge, unavailable = rolling.get("maxSurge", 0), rolling.get("maxUnavailable", 0)
    path = f"{_STRATEGY}.rollingUpdate"
    found: list[FieldError] = []
    for key, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        found += workload.int_or_percent(f"{path}.{key}", value)
        if isinstance(value, str) and workload.number(value) > 100:
            text = "must not be greater than 100%"
            found.append(fields.invalid(f"{path}.{key}", workload.go_int_or_string(value), text))
    if workload.number(surge) and workload.number(unavailable):
        text = "may not be set when maxUnavailable is non-zero"
        found.append(fields.invalid(f"{path}.maxSurge", workload.go_int_or_string(surge), text))
    if not (workload.number(surge) or workload.number(unavailable)):
        found.append(fields.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return found


def _validate_status(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    return found + workload.status_counts(new, _COUNTS)


def _row(daemon_set: Obj, now: datetime) -> list[Any]:
    status = daemon_set.get("status") or {}
    wanted = ((daemon_set["spec"].get("template") or {}).get("spec") or {}).get("nodeSelector") or {}
    shown = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady")
    return [
        meta.name(daemon_set),
        *(status.get(key, 0) for key in shown),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        ",".join(f"{key}={wanted[key]}" for key in sorted(wanted)) or "<none>",
        age(daemon_set, now),
        *workload.wide_cells(daemon_set),
    ]


RESOURCE = Resource(
    group="apps",
    version="v1",
    kind="DaemonSet",
    plural="daemonsets",
    definition="io.k8s.api.apps.v1.DaemonSet",
    singular="daemonset",
    short=("ds",),
    categories=("all",),
    subresources=("status",),
    generation=True,
    strategy=Strategy(
        columns=(
            NAME,
            Column("Desired", type="integer", description="How many nodes should run the pod."),
            Column("Current", type="integer", description="How many of them have it."),
            Column("Ready", type="integer", description="On how many of them it is ready."),
            Column("Up-to-date", type="integer", description="On how many of them it has the present template."),
            Column("Available", type="integer", description="On how many of them it has been ready long enough."),
            Column("Node Selector", description="The labels of the nodes that run the pod."),
            AGE,
            *workload.WIDE_COLUMNS,
        ),
        row=_row,
        default=_default,
        prepare_create=_prepare_create,
        prepare_update=_prepare_update,
        validate=_validate,
        validate_update=_validate_update,
        validate_status=_validate_status,
        warnings=template_warnings,
    ),
)
