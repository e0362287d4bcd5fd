"""PriorityClass (scheduling.k8s.io/v1).

Source: k8s.io/kubernetes/pkg/apis/scheduling/{v1/defaults.go,validation} (1.32).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

HIGHEST_USER = 1_000_000_000
SYSTEM_PREFIX = "system-"
SYSTEM: tuple[Obj, ...] = (
    {
        "metadata": {"name": "system-node-critical"},
        "value": 2_000_001_000,
        "description": "Used for system critical pods that must not be moved from their current node.",
    },
    {
        "metadata": {"name": "system-cluster-critical"},
        "value": 2_000_000_000,
        "description": "Used for system critical pods that must run in the cluster, but can be moved to another node "
        "if necessary.",
    },
)
_POLICIES = ("Never", "PreemptLowerPriority")


def _default(obj: Obj) -> None:
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")
    obj.setdefault("value", 0)


def _validate(obj: Obj) -> list[FieldError]:
    found = objectmeta.validate(obj["metadata"], namespaced=False)
    name, value = meta.name(obj), obj["value"]
    if name.startswith(SYSTEM_PREFIX):
        known = {meta.name(one): one["value"] for one in SYSTEM}
        if known.get(name) != value:
            text = "priority class names with 'system-' prefix are reserved for system use only. error: "
            text += (
                f"value of {name} PriorityClass must be {known[name]}"
                if name in known
                else (f"{name} is not a known system priority class")
            )
            found.append(fields.forbidden("metadata.name", text))
    elif value > HIGHEST_USER:
        text = f"maximum allowed value of a user defined priority is {HIGHEST_USER}"
        found.append(fields.forbidden("value", text))
    return found + validation.one_of("preemptionPolicy", obj["preemptionPolicy"], _POLICIES)


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    if new["value"] != old["value"]:
        found.append(fields.forbidden("value", "may not be changed in an update."))
    return found + validation.immutable("preemptionPolicy", new["preemptionPolicy"], old["preemptionPolicy"])


def _row(obj: Obj, now: datetime) -> list[Any]:
    return [meta.name(obj), obj["value"], bool(obj.get("globalDefault")), age(obj, now), obj["preemptionPolicy"]]


RESOURCE = Resource(
    group="scheduling.k8s.io",
    version="v1",
    kind="PriorityClass",
    plural="priorityclasses",
    definition="io.k8s.api.scheduling.v1.PriorityClass",
    singular="priorityclass",
    short=("pc",),
    namespaced=False,
    generation=True,
    strategy=Strategy(
        columns=(
            NAME,
            Column("Value", type="integer", description="The priority of pods of this class."),
            Column("Global-Default", type="boolean", description="Do pods without a class get this one?"),
            AGE,
            Column("PreemptionPolicy", description="May its pods push out others?"),
        ),
        row=_row,
        default=_default,
        validate=_validate,
        validate_update=_validate_update,
    ),
)
