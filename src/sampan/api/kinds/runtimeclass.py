"""RuntimeClass (node.k8s.io/v1).

Source: k8s.io/kubernetes/pkg/apis/node/validation (1.32).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age


def _validate(obj: Obj) -> list[FieldError]:
    return objectmeta.validate(obj["metadata"], namespaced=False) + _contents(obj)


def _contents(obj: Obj) -> list[FieldError]:
    handler = obj.get("handler", "")
    found = validation.each(validation.dns_label, "handler", handler) if handler else [fields.required("handler")]
    for name, amount in ((obj.get("overhead") or {}).get("podFixed") or {}).items():
        found += validation.quantity(f"overhead.podFixed[{name}]", amount)
    return found + validation.labels("scheduling.nodeSelector", (obj.get("scheduling") or {}).get("nodeSelector"))


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"]) + _contents(new)
    return found + validation.immutable("handler", new.get("handler", ""), old.get("handler", ""))


def _row(obj: Obj, now: datetime) -> list[Any]:
    return [meta.name(obj), obj["handler"], age(obj, now)]


RESOURCE = Resource(
    group="node.k8s.io",
    version="v1",
    kind="RuntimeClass",
    plural="runtimeclasses",
    definition="io.k8s.api.node.v1.RuntimeClass",
    singular="runtimeclass",
    namespaced=False,
    strategy=Strategy(
        columns=(NAME, Column("Handler", description="What runs the pod's containers."), AGE),
        row=_row,
        validate=_validate,
        validate_update=_validate_update,
    ),
)
