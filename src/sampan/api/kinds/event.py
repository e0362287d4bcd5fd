"""Event (core/v1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sampan.api import fields, meta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import since

_LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128}


def _default(obj: Obj) -> None:
    obj.setdefault("involvedObject", {})


def _namespace(obj: Obj) -> list[FieldError]:
    about = obj["involvedObject"].get("namespace", "")
    own = meta.namespace(obj)
    clusterwide = ("default", "kube-system") if obj.get("eventTime") else ("", "default")
    fits = own in clusterwide if not about else (own == about or bool(obj.get("eventTime")))
    path = "involvedObject.namespace"
    return [] if fits else [fields.invalid(path, about, "does not match event.namespace")]


def validate(obj: Obj) -> list[FieldError]:
    found = _namespace(obj)
    if obj.get("eventTime"):
        controller = obj.get("reportingComponent", "")
        if not controller:
            found.append(fields.required("reportingController"))
        found += validation.each(validation.qualified_name, "reportingController", controller)
        for key, limit in _LIMITS.items():
            if not obj.get(key):
                found.append(fields.required(key))
            elif len(obj[key].encode()) > limit:
                found.append(fields.invalid(key, "", f"can have at most {limit} characters"))
        if len(obj.get("message", "").encode()) > 1024:
            found.append(fields.invalid("message", "", "can have at most 1024 characters"))
    return found + validation.each(validation.dns_subdomain, "namespace", meta.namespace(obj))


def _source(obj: Obj) -> str:
    source = obj.get("source") or {}
    component = source.get("component") or obj.get("reportingComponent") or ""
    instance = source.get("host") or obj.get("reportingInstance") or ""
    return f"{component}, {instance}" if instance else component


def _row(obj: Obj, now: datetime) -> list[Any]:
    about, series = obj["involvedObject"], obj.get("series") or {}
    first = since(obj.get("firstTimestamp") or obj.get("eventTime"), now)
    last_seen = series.get("lastObservedTime") or obj.get("lastTimestamp")
    target = about.get("kind", "").lower()
    return [
        since(last_seen, now) if last_seen else first,
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{target}/{about['name']}" if about.get("name") else target,
        about.get("fieldPath", ""),
        _source(obj),
        obj.get("message", "").strip(),
        first,
        series.get("count") or obj.get("count") or 1,
        meta.name(obj),
    ]


def _involved(key: str) -> Callable[[Obj], str]:
    return lambda obj: str(obj["involvedObject"].get(key, ""))


def _top(key: str) -> Callable[[Obj], str]:
    return lambda obj: str(obj.get(key, ""))


_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

RESOURCE = Resource(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    definition="io.k8s.api.core.v1.Event",
    singular="event",
    short=("ev",),
    fields={f"involvedObject.{key}": _involved(key) for key in _INVOLVED}
    | {key: _top(key) for key in ("reason", "type", "reportingComponent")}
    | {"source": lambda obj: str((obj.get("source") or {}).get("component") or obj.get("reportingComponent") or "")},
    strategy=Strategy(
        columns=(
            Column("Last Seen", description="When the event was last observed"),
            Column("Type", description="Normal or Warning"),
            Column("Reason", description="Why the event was sent, for machines"),
            Column("Object", description="The object this event is about"),
            Column("Subobject", description="The part of the object", priority=1),
            Column("Source", description="The component that sent the event", priority=1),
            Column("Message", description="What happened, for people"),
            Column("First Seen", description="When the event was first observed", priority=1),
            Column("Count", description="How often it happened", priority=1),
            Column("Name", format="name", priority=1),
        ),
        row=_row,
        default=_default,
        validate=validate,
        # As in Kubernetes, an update of a core/v1 event is checked like a new one.
        validate_update=lambda new, old: validate(new),
    ),
)
