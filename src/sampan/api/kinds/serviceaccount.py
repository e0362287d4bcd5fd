"""ServiceAccount (core/v1)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import meta, objectmeta
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age


def _validate(obj: Obj) -> list[FieldError]:
    return objectmeta.validate(obj["metadata"], namespaced=True)


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"])


def _row(obj: Obj, now: datetime) -> list[Any]:
    return [meta.name(obj), len(obj.get("secrets") or ()), age(obj, now)]


RESOURCE = Resource(
    group="",
    version="v1",
    kind="ServiceAccount",
    plural="serviceaccounts",
    definition="io.k8s.api.core.v1.ServiceAccount",
    singular="serviceaccount",
    short=("sa",),
    subresources=("token",),
    strategy=Strategy(
        columns=(NAME, Column("Secrets"), AGE), row=_row, validate=_validate, validate_update=_validate_update
    ),
)
