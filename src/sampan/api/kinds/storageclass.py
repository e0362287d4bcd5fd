"""StorageClass (storage.k8s.io/v1).

Source: k8s.io/kubernetes/pkg/apis/storage/{v1/defaults.go,validation} (1.32).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

DEFAULT_ANNOTATION = "storageclass.kubernetes.io/is-default-class"
_FIXED = ("parameters", "provisioner", "reclaimPolicy")


def is_default(storage_class: Obj) -> bool:
    """Do claims without a class get this one?"""
    found = meta.annotations(storage_class)
    return "true" in (found.get(DEFAULT_ANNOTATION), found.get("storageclass.beta.kubernetes.io/is-default-class"))


def _default(obj: Obj) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def _validate(obj: Obj) -> list[FieldError]:
    return objectmeta.validate(obj["metadata"], namespaced=False) + _contents(obj)


def _contents(obj: Obj) -> list[FieldError]:
    provisioner = obj.get("provisioner", "")
    found = [] if provisioner else [fields.required("provisioner")]
    if provisioner:
        found += validation.each(validation.qualified_name, "provisioner", provisioner.lower())
    if any(not key for key in obj.get("parameters") or ()):
        found.append(fields.invalid("parameters", "", "field can not be empty."))
    found += validation.one_of("reclaimPolicy", obj["reclaimPolicy"], ("Delete", "Retain"))
    return found + validation.one_of(
        "volumeBindingMode", obj["volumeBindingMode"], ("Immediate", "WaitForFirstConsumer")
    )


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    for key in _FIXED:
        if (new.get(key) or None) != (old.get(key) or None):
            found.append(fields.forbidden(key, f"updates to {key} are forbidden."))
    mode = new["volumeBindingMode"]
    return found + validation.immutable("volumeBindingMode", mode, old["volumeBindingMode"]) + _contents(new)


def _row(obj: Obj, now: datetime) -> list[Any]:
    return [
        f"{meta.name(obj)} (default)" if is_default(obj) else meta.name(obj),
        obj["provisioner"],
        obj["reclaimPolicy"],
        obj["volumeBindingMode"],
        bool(obj.get("allowVolumeExpansion")),
        age(obj, now),
    ]


RESOURCE = Resource(
    group="storage.k8s.io",
    version="v1",
    kind="StorageClass",
    plural="storageclasses",
    definition="io.k8s.api.storage.v1.StorageClass",
    singular="storageclass",
    short=("sc",),
    namespaced=False,
    strategy=Strategy(
        columns=(
            NAME,
            Column("Provisioner", description="Who makes the volumes."),
            Column("ReclaimPolicy", description="What happens to a volume when its claim is deleted."),
            Column("VolumeBindingMode", description="When claims are bound."),
            Column("AllowVolumeExpansion", type="boolean", description="May claims ask for more later?"),
            AGE,
        ),
        row=_row,
        default=_default,
        validate=_validate,
        validate_update=_validate_update,
    ),
)
