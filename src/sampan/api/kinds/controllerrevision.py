"""ControllerRevision (apps/v1): an immutable snapshot of a controller's template."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age


def _validate(obj: Obj) -> list[FieldError]:
    found = objectmeta.validate(obj["metadata"], namespaced=True)
    if not obj.get("data"):
        found.append(fields.required("data", "data is mandatory"))
    return found + validation.nonnegative("revision", obj.get("revision", 0))


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    return found + validation.immutable("data", new.get("data"), old.get("data"), fields.Raw("<data>"))


def _row(obj: Obj, now: datetime) -> list[Any]:
    owner = meta.controller_of(obj)
    shown = "<none>"
    if owner:
        group = owner["apiVersion"].rpartition("/")[0]
        shown = f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"
    return [meta.name(obj), shown, obj.get("revision", 0), age(obj, now)]


RESOURCE = Resource(
    group="apps",
    version="v1",
    kind="ControllerRevision",
    plural="controllerrevisions",
    definition="io.k8s.api.apps.v1.ControllerRevision",
    singular="controllerrevision",
    strategy=Strategy(
        columns=(
            NAME,
            Column("Controller", description="Controller of the object"),
            Column("Revision", description="The revision of the state represented by data"),
            AGE,
        ),
        row=_row,
        validate=_validate,
        validate_update=_validate_update,
    ),
)
