"""PersistentVolumeClaim (core/v1).

Source: k8s.io/kubernetes/pkg/apis/core/{v1/defaults.go,validation}, pkg/registry/core/persistentvolumeclaim (1.32).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.kinds.persistentvolume import UNSET, access_modes, short_modes, storage_class
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

_FIXED = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def default_spec(spec: Obj) -> None:
    """Also for the templates of StatefulSets."""
    spec.setdefault("volumeMode", "Filesystem")


def validate_spec(spec: Obj, path: str = "spec") -> list[FieldError]:
    """Also for the templates of StatefulSets, whose specs stand at another path."""
    modes = spec.get("accessModes") or []
    found = [] if modes else [fields.required(f"{path}.accessModes", "at least 1 access mode is required")]
    found += access_modes(modes, f"{path}.accessModes")
    found += validation.label_selector(f"{path}.selector", spec.get("selector"))
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        found.append(fields.required(f"{path}.resources[storage]"))
    elif Quantity.parse(size) <= Quantity.ZERO:
        found.append(fields.invalid(f"{path}.resources[storage]", str(size), "must be greater than zero"))
    if name := spec.get("storageClassName"):
        found += validation.each(validation.dns_subdomain, f"{path}.storageClassName", name)
    return found + validation.one_of(f"{path}.volumeMode", spec["volumeMode"], ("Block", "Filesystem"))


def size(spec: Obj) -> Quantity:
    """What a valid claim asks for."""
    return Quantity.parse(spec["resources"]["requests"]["storage"])


def _default(claim: Obj) -> None:
    default_spec(claim.setdefault("spec", {}))


def _prepare_create(claim: Obj) -> None:
    claim["status"] = {"phase": "Pending"}


def _validate(claim: Obj) -> list[FieldError]:
    return objectmeta.validate(claim["metadata"], namespaced=True) + validate_spec(claim["spec"])


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"]) + validate_spec(new["spec"])
    now, before = new["spec"], old["spec"]
    bound = (old.get("status") or {}).get("phase") == "Bound"
    changeable = {"volumeAttributesClassName", "resources"} if bound else set()
    # The binder writes the volume's name; a class may be given once to a claim that has none.
    changeable |= {key for key in ("volumeName", "storageClassName") if not before.get(key)}
    changed = {key for key in {*now, *before} if now.get(key) != before.get(key)}
    if changed - changeable or ("resources" in changed and _but_storage(now) != _but_storage(before)):
        found.append(fields.forbidden("spec", _FIXED))
    if not found and bound and size(now) < size(before):
        held = Quantity.parse(((old.get("status") or {}).get("capacity") or {}).get("storage", "0"))
        if size(now) <= held:
            text = "field can not be less than status.capacity"
            found.append(fields.forbidden("spec.resources.requests.storage", text))
    return found


def _but_storage(spec: Obj) -> Obj:
    resources = spec.get("resources") or {}
    requests = {k: v for k, v in (resources.get("requests") or {}).items() if k != "storage"}
    return {**resources, "requests": requests}


def _row(claim: Obj, now: datetime) -> list[Any]:
    spec, status = claim["spec"], claim.get("status") or {}
    bound = spec.get("volumeName")
    return [
        meta.name(claim),
        "Terminating" if meta.deleting(claim) else status.get("phase", ""),
        bound or "",
        str((status.get("capacity") or {}).get("storage", "")) if bound else "",
        short_modes(status.get("accessModes")) if bound else "",
        storage_class(claim),
        spec.get("volumeAttributesClassName") or UNSET,
        age(claim, now),
        spec.get("volumeMode") or UNSET,
    ]


RESOURCE = Resource(
    group="",
    version="v1",
    kind="PersistentVolumeClaim",
    plural="persistentvolumeclaims",
    definition="io.k8s.api.core.v1.PersistentVolumeClaim",
    singular="persistentvolumeclaim",
    short=("pvc",),
    subresources=("status",),
    strategy=Strategy(
        columns=(
            NAME,
            Column("Status", description="Pending, Bound or Lost."),
            Column("Volume", description="The volume it is bound to."),
            Column("Capacity", description="How much the volume holds."),
            Column("Access Modes", description="The ways the volume can be mounted."),
            Column("StorageClass", description="StorageClass of the pvc"),
            Column("VolumeAttributesClass", description="Its VolumeAttributesClass."),
            AGE,
            Column("VolumeMode", priority=1, description="Filesystem or Block."),
        ),
        row=_row,
        default=_default,
        prepare_create=_prepare_create,
        validate=_validate,
        validate_update=_validate_update,
    ),
)
