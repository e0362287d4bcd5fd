"""Lease (coordination.k8s.io/v1)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age


def _spec(spec: Obj) -> list[FieldError]:
    found: list[FieldError] = []
    if spec.get("leaseDurationSeconds", 1) <= 0:
        found.append(
            fields.invalid("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0")
        )
    if spec.get("leaseTransitions", 0) < 0:
        text = "must be greater than or equal to 0"
        found.append(fields.invalid("spec.leaseTransitions", spec["leaseTransitions"], text))
    return found


def _validate(obj: Obj) -> list[FieldError]:
    return objectmeta.validate(obj["metadata"], namespaced=True) + _spec(obj.get("spec") or {})


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"]) + _spec(new.get("spec") or {})


def _row(obj: Obj, now: datetime) -> list[Any]:
    return [meta.name(obj), (obj.get("spec") or {}).get("holderIdentity", ""), age(obj, now)]


RESOURCE = Resource(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    definition="io.k8s.api.coordination.v1.Lease",
    singular="lease",
    strategy=Strategy(
        columns=(NAME, Column("Holder", description="Who holds the lease"), AGE),
        row=_row,
        validate=_validate,
        validate_update=_validate_update,
    ),
)
