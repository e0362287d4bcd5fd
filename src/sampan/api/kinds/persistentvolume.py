"""PersistentVolume (core/v1).

Source: k8s.io/kubernetes/pkg/apis/core/{v1/defaults.go,validation}, pkg/registry/core/persistentvolume (1.32).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.kinds import paths
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

_SHORT = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_MODES = ("Block", "Filesystem")
_POLICIES = ("Delete", "Recycle", "Retain")
_NOT_SOURCES = frozenset(
    (
        *("accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy"),
        *("storageClassName", "volumeAttributesClassName", "volumeMode"),
    )
)
UNSET = "<unset>"


def short_modes(modes: Iterable[str] | None) -> str:
    """Access modes as tables show them: RWO,ROX (each once, in the order of Kubernetes' list)."""
    given = set(modes or ())
    return ",".join(short for mode, short in _SHORT.items() if mode in given)


def access_modes(modes: list[str], path: str) -> list[FieldError]:
    """Known modes, and ReadWriteOncePod alone (PersistentVolumes and claims)."""
    found = [e for mode in modes for e in validation.one_of(path, mode, _SHORT)]
    if "ReadWriteOncePod" in modes and len(set(modes)) > 1:
        found.append(fields.forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return found


def sources(spec: Obj) -> list[str]:
    """The fields of the spec that say where the data is; a valid volume has one."""
    return [key for key in spec if key not in _NOT_SOURCES]


def _default(volume: Obj) -> None:
    spec = volume.setdefault("spec", {})
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
    if host := spec.get("hostPath"):
        host.setdefault("type", "")


def _prepare_create(volume: Obj) -> None:
    volume["status"] = {"phase": "Pending"}


def _validate(volume: Obj) -> list[FieldError]:
    return objectmeta.validate(volume["metadata"], namespaced=False) + _spec(volume["spec"])


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"]) + _spec(new["spec"])
    now, before = new["spec"], old["spec"]
    if {k: now[k] for k in sources(now)} != {k: before[k] for k in sources(before)}:
        text = "spec.persistentvolumesource is immutable after creation"
        found.append(fields.forbidden("spec.persistentvolumesource", text))
    found += validation.immutable("spec.volumeMode", now.get("volumeMode"), before.get("volumeMode"))
    if before.get("nodeAffinity"):
        shown = fields.Raw("core.VolumeNodeAffinity{…}")
        found += validation.immutable("spec.nodeAffinity", now.get("nodeAffinity"), before["nodeAffinity"], shown)
    return found


def _spec(spec: Obj) -> list[FieldError]:
    modes = spec.get("accessModes") or []
    found = [] if modes else [fields.required("spec.accessModes")]
    found += access_modes(modes, "spec.accessModes") + _capacity(spec.get("capacity") or {})
    policy = spec["persistentVolumeReclaimPolicy"]
    found += validation.one_of("spec.persistentVolumeReclaimPolicy", policy, _POLICIES)
    found += _source(spec, policy)
    if name := spec.get("storageClassName"):
        found += validation.each(validation.dns_subdomain, "spec.storageClassName", name)
    return found + validation.one_of("spec.volumeMode", spec["volumeMode"], _MODES)


def _capacity(capacity: Obj) -> list[FieldError]:
    path = "spec.capacity"
    if not capacity:
        return [fields.required(path)]
    if set(capacity) != {"storage"}:
        return [fields.not_supported(path, fields.Raw(fields.go(capacity)), ("storage",))]
    if Quantity.parse(capacity["storage"]) <= Quantity.ZERO:
        return [fields.invalid(f"{path}[storage]", str(capacity["storage"]), "must be greater than zero")]
    return []


def _source(spec: Obj, policy: str) -> list[FieldError]:
    kinds = sources(spec)
    if not kinds:
        return [fields.required("spec", "must specify a volume type")]
    found = [fields.forbidden(f"spec.{kind}", "may not specify more than 1 volume type") for kind in kinds[1:]]
    kind = kinds[0]
    path = (spec[kind] or {}).get("path", "") if kind in ("hostPath", "local") else None
    if path == "":
        found.append(fields.required(f"spec.{kind}.path"))
    elif path:
        found += paths.no_backsteps(path, f"spec.{kind}.path")
    if kind == "local" and not spec.get("nodeAffinity"):
        found.append(fields.required("spec.nodeAffinity", "Local volume requires node affinity"))
    if path == "/" and policy == "Recycle":
        text = "may not be 'recycle' for a hostPath mount of '/'"
        found.append(fields.forbidden("spec.persistentVolumeReclaimPolicy", text))
    return found


def _row(volume: Obj, now: datetime) -> list[Any]:
    spec, status = volume["spec"], volume.get("status") or {}
    claim = spec.get("claimRef") or {}
    return [
        meta.name(volume),
        str(spec["capacity"]["storage"]),
        short_modes(spec.get("accessModes")),
        spec["persistentVolumeReclaimPolicy"],
        "Terminating" if meta.deleting(volume) else status.get("phase", ""),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        storage_class(volume),
        spec.get("volumeAttributesClassName") or UNSET,
        status.get("reason", ""),
        age(volume, now),
        spec.get("volumeMode") or UNSET,
    ]


def storage_class(obj: Obj) -> str:
    """The class of a volume or claim: the annotation of old times stands over the field. "" is none."""
    old = meta.annotations(obj).get("volume.beta.kubernetes.io/storage-class")
    return str(old if old is not None else obj["spec"].get("storageClassName") or "")


RESOURCE = Resource(
    group="",
    version="v1",
    kind="PersistentVolume",
    plural="persistentvolumes",
    definition="io.k8s.api.core.v1.PersistentVolume",
    singular="persistentvolume",
    short=("pv",),
    namespaced=False,
    subresources=("status",),
    strategy=Strategy(
        columns=(
            NAME,
            Column("Capacity", description="How much it holds."),
            Column("Access Modes", description="The ways it can be mounted."),
            Column("Reclaim Policy", description="What happens to it when its claim is deleted."),
            Column("Status", description="Available, Bound, Released or Failed."),
            Column("Claim", description="The claim it is bound to."),
            Column("StorageClass", description="StorageClass of the pv"),
            Column("VolumeAttributesClass", description="Its VolumeAttributesClass."),
            Column("Reason", description="Why it is in this phase."),
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
