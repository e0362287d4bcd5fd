"""CSIDriver, CSINode and VolumeAttachment (storage.k8s.io/v1): kept and shown. Nodes here have no CSI drivers.

Source: k8s.io/kubernetes/pkg/apis/storage/{v1/defaults.go,validation}, pkg/printers/internalversion (1.32).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

_DRIVER_DEFAULTS = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
    "requiresRepublish": False,
    "seLinuxMount": False,
}


def _driver_default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    for key, value in _DRIVER_DEFAULTS.items():
        if spec.get(key) is None:
            spec[key] = value
    spec["volumeLifecycleModes"] = spec.get("volumeLifecycleModes") or ["Persistent"]


def _driver_row(obj: Obj, now: datetime) -> list[Any]:
    spec = obj["spec"]
    tokens = ",".join(str(request.get("audience", "")) for request in spec.get("tokenRequests") or ()) or "<unset>"
    flags = [spec[key] for key in ("attachRequired", "podInfoOnMount", "storageCapacity")]
    return [
        meta.name(obj),
        *flags,
        tokens,
        spec["requiresRepublish"],
        ",".join(spec["volumeLifecycleModes"]),
        age(obj, now),
    ]


def _node_spec(obj: Obj) -> list[FieldError]:
    found: list[FieldError] = []
    for i, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
        path = f"spec.drivers[{i}]"
        found += [fields.required(f"{path}.{key}") for key in ("name", "nodeID") if not driver.get(key)]
    return found


def _node_row(obj: Obj, now: datetime) -> list[Any]:
    return [meta.name(obj), len((obj.get("spec") or {}).get("drivers") or ()), age(obj, now)]


def _attachment_spec(obj: Obj) -> list[FieldError]:
    spec = obj.get("spec") or {}
    found = [fields.required(f"spec.{key}") for key in ("attacher", "nodeName") if not spec.get(key)]
    source = spec.get("source") or {}
    if not any(source.get(key) for key in ("persistentVolumeName", "inlineVolumeSpec")):
        text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        found.append(fields.required("spec.source", text))
    return found


def _attachment_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    shown = fields.Raw("storage.VolumeAttachmentSpec{…}")
    return found + validation.immutable("spec", new.get("spec"), old.get("spec"), shown)


def _attachment_row(obj: Obj, now: datetime) -> list[Any]:
    spec = obj["spec"]
    volume = spec["source"].get("persistentVolumeName", "")
    attached = bool((obj.get("status") or {}).get("attached"))
    return [meta.name(obj), spec["attacher"], volume, spec["nodeName"], attached, age(obj, now)]


DRIVER = Resource(
    group="storage.k8s.io",
    version="v1",
    kind="CSIDriver",
    plural="csidrivers",
    definition="io.k8s.api.storage.v1.CSIDriver",
    singular="csidriver",
    namespaced=False,
    strategy=Strategy(
        columns=(
            NAME,
            Column("AttachRequired", type="boolean", description="Must volumes be attached?"),
            Column("PodInfoOnMount", type="boolean", description="Is it told about the pod?"),
            Column("StorageCapacity", type="boolean", description="Does it report capacity?"),
            Column("TokenRequests", description="Audiences of the tokens it needs."),
            Column("RequiresRepublish", type="boolean", description="Is it called again and again?"),
            Column("Modes", description="Kinds of volumes it serves."),
            AGE,
        ),
        row=_driver_row,
        default=_driver_default,
        validate=lambda obj: objectmeta.validate(obj["metadata"], False),
        validate_update=lambda new, old: objectmeta.validate_update(new["metadata"], old["metadata"]),
    ),
)

NODE = Resource(
    group="storage.k8s.io",
    version="v1",
    kind="CSINode",
    plural="csinodes",
    definition="io.k8s.api.storage.v1.CSINode",
    singular="csinode",
    namespaced=False,
    strategy=Strategy(
        columns=(NAME, Column("Drivers", type="integer", description="How many drivers the node has."), AGE),
        row=_node_row,
        validate=lambda obj: objectmeta.validate(obj["metadata"], False) + _node_spec(obj),
        validate_update=lambda new, old: objectmeta.validate_update(new["metadata"], old["metadata"]) + _node_spec(new),
    ),
)

ATTACHMENT = Resource(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttachment",
    plural="volumeattachments",
    definition="io.k8s.api.storage.v1.VolumeAttachment",
    singular="volumeattachment",
    namespaced=False,
    subresources=("status",),
    strategy=Strategy(
        columns=(
            NAME,
            Column("Attacher", format="name", description="Who attaches."),
            Column("PV", description="The volume."),
            Column("Node", description="The node."),
            Column("Attached", type="boolean", description="Is it attached?"),
            AGE,
        ),
        row=_attachment_row,
        prepare_create=lambda obj: obj.update(status={"attached": False}),
        validate=lambda obj: objectmeta.validate(obj["metadata"], False) + _attachment_spec(obj),
        validate_update=_attachment_update,
    ),
)
