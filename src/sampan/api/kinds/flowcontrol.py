"""FlowSchema and PriorityLevelConfiguration (flowcontrol.apiserver.k8s.io/v1): kept and shown, not acted upon.

Source: k8s.io/kubernetes/pkg/apis/flowcontrol/v1/defaults.go, pkg/printers/internalversion (1.32).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

_GROUP = "flowcontrol.apiserver.k8s.io"


def _schema_default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


def _schema_spec(spec: Obj) -> list[FieldError]:
    precedence = spec["matchingPrecedence"]
    found: list[FieldError] = []
    if precedence <= 0:
        found.append(fields.invalid("spec.matchingPrecedence", precedence, "must be a positive value"))
    if precedence > 10000:
        found.append(fields.invalid("spec.matchingPrecedence", precedence, "must not be greater than 10000"))
    kind = (spec.get("distinguisherMethod") or {}).get("type")
    if kind is not None and kind not in ("ByNamespace", "ByUser"):
        found.append(fields.not_supported("spec.distinguisherMethod", kind, ("ByNamespace", "ByUser")))
    name = (spec.get("priorityLevelConfiguration") or {}).get("name")
    return (
        found
        if name
        else [*found, fields.required("spec.priorityLevelConfiguration.name", "must reference a priority level")]
    )


def _level_default(obj: Obj) -> None:
    limited = obj.setdefault("spec", {}).get("limited")
    if limited is not None:
        if limited.get("nominalConcurrencyShares") is None:
            limited["nominalConcurrencyShares"] = 30
        if limited.get("lendablePercent") is None:
            limited["lendablePercent"] = 0
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            for key, value in (("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)):
                queuing[key] = queuing.get(key) or value


def _level_spec(spec: Obj) -> list[FieldError]:
    kind = spec.get("type", "")
    found = validation.one_of("spec.type", kind, ("Exempt", "Limited"))
    if kind == "Limited" and spec.get("limited") is None:
        found.append(fields.required("spec.limited", "must not be empty when type is Limited"))
    if kind == "Exempt" and spec.get("limited") is not None:
        found.append(fields.forbidden("spec.limited", "must be nil if the type is not Limited"))
    return found


def _schema_row(obj: Obj, now: datetime) -> list[Any]:
    spec = obj["spec"]
    dangling = meta.condition(obj, "Dangling") or {}
    return [
        meta.name(obj),
        spec["priorityLevelConfiguration"]["name"],
        spec["matchingPrecedence"],
        (spec.get("distinguisherMethod") or {}).get("type", "<none>"),
        age(obj, now),
        dangling.get("status", "?"),
    ]


def _level_row(obj: Obj, now: datetime) -> list[Any]:
    spec = obj["spec"]
    limited = spec.get("limited") or {}
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    shown = [queuing.get(key, "<none>") for key in ("queues", "handSize", "queueLengthLimit")]
    return [meta.name(obj), spec["type"], limited.get("nominalConcurrencyShares", "<none>"), *shown, age(obj, now)]


FLOW_SCHEMA = Resource(
    group=_GROUP,
    version="v1",
    kind="FlowSchema",
    plural="flowschemas",
    definition="io.k8s.api.flowcontrol.v1.FlowSchema",
    singular="flowschema",
    namespaced=False,
    subresources=("status",),
    generation=True,
    strategy=Strategy(
        columns=(
            NAME,
            Column("PriorityLevel", description="The priority level of matching requests."),
            Column("MatchingPrecedence", description="Lower ones are tried first."),
            Column("DistinguisherMethod", description="How flows are told apart."),
            AGE,
            Column("MissingPL", description="Is its priority level missing?"),
        ),
        row=_schema_row,
        default=_schema_default,
        prepare_create=lambda obj: obj.update(status={}),
        validate=lambda obj: objectmeta.validate(obj["metadata"], False) + _schema_spec(obj["spec"]),
        validate_update=lambda new, old: (
            objectmeta.validate_update(new["metadata"], old["metadata"]) + _schema_spec(new["spec"])
        ),
    ),
)

PRIORITY_LEVEL = Resource(
    group=_GROUP,
    version="v1",
    kind="PriorityLevelConfiguration",
    plural="prioritylevelconfigurations",
    definition="io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
    singular="prioritylevelconfiguration",
    namespaced=False,
    subresources=("status",),
    generation=True,
    strategy=Strategy(
        columns=(
            NAME,
            Column("Type", description="Limited or Exempt."),
            Column("NominalConcurrencyShares", description="Its part of the server's seats."),
            Column("Queues", description="How many queues it has."),
            Column("HandSize", description="How many queues a flow may use."),
            Column("QueueLengthLimit", description="How many requests a queue holds."),
            AGE,
        ),
        row=_level_row,
        default=_level_default,
        prepare_create=lambda obj: obj.update(status={}),
        validate=lambda obj: objectmeta.validate(obj["metadata"], False) + _level_spec(obj["spec"]),
        validate_update=lambda new, old: (
            objectmeta.validate_update(new["metadata"], old["metadata"]) + _level_spec(new["spec"])
        ),
    ),
)
