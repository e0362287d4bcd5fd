"""Node (core/v1)."""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_ROLE_PREFIX, _ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"


def _default(obj: Obj) -> None:
    status = obj.setdefault("status", {})
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def _taints(taints: Any) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for i, taint in enumerate(taints):
        path, key, effect = f"spec.taints[{i}]", taint.get("key", ""), taint.get("effect", "")
        found += validation.each(validation.qualified_name, f"{path}.key", key)
        found += validation.each(validation.label_value, f"{path}.value", taint.get("value", ""))
        found += validation.one_of(f"{path}.effect", effect, _EFFECTS)
        if (key, effect) in seen:
            shown = f'core.Taint{{Key:"{key}", Value:"{taint.get("value", "")}", Effect:"{effect}", TimeAdded:<nil>}}'
            found.append(fields.duplicate(path, fields.Raw(shown), "taints must be unique by key and effect pair"))
        seen.add((key, effect))
    return found


def _cidrs(spec: Obj) -> list[FieldError]:
    found: list[FieldError] = []
    for i, cidr in enumerate(spec.get("podCIDRs") or ()):
        try:
            ipaddress.ip_network(cidr)
        except ValueError:
            text = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            found.append(fields.invalid(f"spec.podCIDRs[{i}]", cidr, text))
    return found


def _contents(obj: Obj) -> list[FieldError]:
    spec = obj.get("spec") or {}
    return _taints(spec.get("taints") or ()) + _cidrs(spec)


def _validate(obj: Obj) -> list[FieldError]:
    return objectmeta.validate(obj["metadata"], namespaced=False) + _contents(obj)


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"]) + _contents(new)
    before, after = (old.get("spec") or {}), (new.get("spec") or {})
    for key, shown in (("podCIDRs", "podCIDR"), ("providerID", "providerID")):
        if before.get(key) and before[key] != after.get(key):
            found.append(
                fields.forbidden(f"spec.{key}", f'node updates may not change {shown} except from "" to valid')
            )
    return found


def roles(obj: Obj) -> list[str]:
    """The roles that the node's labels name, sorted."""
    labels = meta.labels(obj)
    found = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    return sorted((found | {labels.get(_ROLE_LABEL, "")}) - {""})


def address(obj: Obj, kind: str) -> str:
    """The first address of a type (InternalIP, ExternalIP, Hostname), or ""."""
    addresses = (obj.get("status") or {}).get("addresses") or ()
    return next((str(a.get("address", "")) for a in addresses if a.get("type") == kind), "")


def _row(obj: Obj, now: datetime) -> list[Any]:
    ready = meta.condition(obj, "Ready")
    status = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    if (obj.get("spec") or {}).get("unschedulable"):
        status += ",SchedulingDisabled"
    info = (obj.get("status") or {}).get("nodeInfo") or {}
    return [
        meta.name(obj),
        status,
        ",".join(roles(obj)) or "<none>",
        age(obj, now),
        info.get("kubeletVersion", ""),
        address(obj, "InternalIP") or "<none>",
        address(obj, "ExternalIP") or "<none>",
        *(info.get(key) or "<unknown>" for key in ("osImage", "kernelVersion", "containerRuntimeVersion")),
    ]


RESOURCE = Resource(
    group="",
    version="v1",
    kind="Node",
    plural="nodes",
    definition="io.k8s.api.core.v1.Node",
    singular="node",
    short=("no",),
    namespaced=False,
    subresources=("proxy", "status"),
    fields={"spec.unschedulable": lambda obj: str(bool((obj.get("spec") or {}).get("unschedulable"))).lower()},
    strategy=Strategy(
        columns=(
            NAME,
            Column("Status", description="The status of the node"),
            Column("Roles", description="The roles of the node"),
            AGE,
            Column("Version", description="The version of the node's agent"),
            Column("Internal-IP", priority=1),
            Column("External-IP", priority=1),
            Column("OS-Image", priority=1),
            Column("Kernel-Version", priority=1),
            Column("Container-Runtime", priority=1),
        ),
        row=_row,
        default=_default,
        validate=_validate,
        validate_update=_validate_update,
    ),
)
