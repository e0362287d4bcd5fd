"""ReplicaSet (apps/v1).

Source: k8s.io/kubernetes/pkg/apis/apps/{v1/defaults.go,validation}, pkg/registry/apps/replicaset (1.32).
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

# None of the last three may exceed status.replicas.
_COUNTS = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas")


def _default(replica_set: Obj) -> None:
    spec = replica_set.setdefault("spec", {})
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    default_pod_template(spec.setdefault("template", {}))


def _prepare_create(replica_set: Obj) -> None:
    replica_set["status"] = {"replicas": 0}


def _validate(replica_set: Obj) -> list[FieldError]:
    return objectmeta.validate(replica_set["metadata"], namespaced=True) + _spec(replica_set["spec"])


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"]) + _spec(new["spec"])
    return found + workload.selector_kept(new, old)


def _spec(spec: Obj) -> list[FieldError]:
    found = validation.nonnegative("spec.replicas", spec.get("replicas", 0))
    found += validation.nonnegative("spec.minReadySeconds", spec.get("minReadySeconds") or 0)
    return found + validate_selected_template(spec, "ReplicaSet")


def _validate_status(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    found += workload.status_counts(new, (*_COUNTS, "observedGeneration"))
    status = new.get("status") or {}
    total = status.get("replicas") or 0
    for key in _COUNTS[1:]:
        if (count := status.get(key) or 0) > total:
            found.append(fields.invalid(f"status.{key}", count, "cannot be greater than status.replicas"))
    ready, available = status.get("readyReplicas") or 0, status.get("availableReplicas") or 0
    if available > ready:
        found.append(fields.invalid("status.availableReplicas", available, "cannot be greater than readyReplicas"))
    return found


def _row(replica_set: Obj, now: datetime) -> list[Any]:
    status = replica_set.get("status") or {}
    return [
        meta.name(replica_set),
        replica_set["spec"].get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age(replica_set, now),
        *workload.wide_cells(replica_set),
    ]


RESOURCE = Resource(
    group="apps",
    version="v1",
    kind="ReplicaSet",
    plural="replicasets",
    definition="io.k8s.api.apps.v1.ReplicaSet",
    singular="replicaset",
    short=("rs",),
    categories=("all",),
    subresources=("scale", "status"),
    fields={"status.replicas": lambda rs: str((rs.get("status") or {}).get("replicas", 0))},
    generation=True,
    strategy=Strategy(
        columns=(
            NAME,
            Column("Desired", type="integer", description="How many pods are wanted."),
            Column("Current", type="integer", description="How many pods there are."),
            Column("Ready", type="integer", description="How many of them are ready."),
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
