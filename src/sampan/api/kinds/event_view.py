"""Event (events.k8s.io/v1): the events of core/v1 under the names their newer API gives them. There is one storage.

Source: k8s.io/kubernetes/pkg/apis/events/v1/conversion.go, pkg/apis/core/validation/events.go.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sampan.api import fields
from sampan.api.kinds import event
from sampan.api.meta import Obj
from sampan.api.scheme import Resource, Strategy, View
from sampan.api.status import FieldError

# core/v1 → events.k8s.io/v1
_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_BACK = {new: old for old, new in _NAMES.items()}
_UNSET = ("deprecatedSource", "deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount")
_TYPES = ("Normal", "Warning")


def show(core: Obj) -> Obj:
    """A core/v1 event as events.k8s.io/v1. Shares its parts."""
    return {_NAMES.get(key, key): value for key, value in core.items()} | {"apiVersion": RESOURCE.api_version}


def keep(obj: Obj) -> Obj:
    """The core/v1 event that is kept. Shares its parts."""
    core = {_BACK.get(key, key): value for key, value in obj.items()} | {"apiVersion": "v1"}
    core.setdefault("involvedObject", {})
    return core


def _validate(obj: Obj) -> list[FieldError]:
    found: list[FieldError] = []
    if not obj.get("eventTime"):
        found.append(fields.required("eventTime"))
    if obj.get("type") not in _TYPES:
        found.append(fields.invalid("type", obj.get("type", ""), f"has invalid value: {obj.get('type', '')}"))
    found += [fields.invalid(key, "", "needs to be unset") for key in _UNSET if obj.get(key)]
    return found + event.validate(keep(obj))


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    """Only the series may change."""
    changed = sorted(k for k in (new.keys() | old.keys()) - {"metadata", "series"} if new.get(k) != old.get(k))
    return [fields.invalid(key, fields.OMIT, "field is immutable") for key in changed]


def _row(obj: Obj, now: datetime) -> list[Any]:
    return event.RESOURCE.strategy.row(keep(obj), now)


def _regarding(key: str) -> Callable[[Obj], str]:
    return lambda obj: str((obj.get("regarding") or {}).get(key, ""))


def _top(key: str) -> Callable[[Obj], str]:
    return lambda obj: str(obj.get(key, ""))


_ABOUT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

RESOURCE = Resource(
    group="events.k8s.io",
    version="v1",
    kind="Event",
    plural="events",
    definition="io.k8s.api.events.v1.Event",
    singular="event",
    short=("ev",),
    fields={f"regarding.{key}": _regarding(key) for key in _ABOUT}
    | {key: _top(key) for key in ("reason", "reportingController", "type")},
    strategy=Strategy(
        columns=event.RESOURCE.strategy.columns,
        row=_row,
        validate=_validate,
        validate_update=_validate_update,
    ),
    view=View(event.RESOURCE, show, keep),
)
