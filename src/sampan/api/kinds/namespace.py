"""Namespace (core/v1)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

FINALIZER = "kubernetes"


def _prepare_create(obj: Obj) -> None:
    obj["status"] = {"phase": "Active"}
    finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = meta.name(obj)


def _prepare_update(new: Obj, old: Obj) -> None:
    """spec.finalizers change through the `finalize` subresource only."""
    new["spec"] = old.get("spec", {})
    if "status" in old:
        new["status"] = old["status"]
    new["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = meta.name(new)


def _validate(obj: Obj) -> list[FieldError]:
    found = objectmeta.validate(obj["metadata"], namespaced=False, name=validation.dns_label)
    for finalizer in (obj.get("spec") or {}).get("finalizers") or ():
        found += validation.each(validation.qualified_name, "spec.finalizers", finalizer)
    return found


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"])


def phase(obj: Obj) -> str:
    return str((obj.get("status") or {}).get("phase", ""))


def _row(obj: Obj, now: datetime) -> list[Any]:
    return [meta.name(obj), phase(obj), age(obj, now)]


RESOURCE = Resource(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    definition="io.k8s.api.core.v1.Namespace",
    singular="namespace",
    short=("ns",),
    namespaced=False,
    subresources=("status", "finalize"),
    fields={"status.phase": phase},
    strategy=Strategy(
        columns=(NAME, Column("Status", description="The status of the namespace"), AGE),
        row=_row,
        prepare_create=_prepare_create,
        prepare_update=_prepare_update,
        validate=_validate,
        validate_update=_validate_update,
    ),
)
