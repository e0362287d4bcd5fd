"""Server-side Tables: what `kubectl get` prints.

Source: meta.k8s.io/v1 Table; columns as in kubernetes/pkg/printers/internalversion; ages as k8s.io/apimachinery
pkg/util/duration.HumanDuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource

NAME = Column("Name", format="name", description="Name must be unique within a namespace.")
AGE = Column("Age", description="The time since the object was created.")

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


def human_duration(seconds: float) -> str:
    """Two or three significant figures: 59s, 2m36s, 15m, 5h4m, 15h, 3d4h, 77d, 2y5d."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    for limit, unit, name, below, rest in (
        (2 * _MINUTE, 1, "s", 0, ""),
        (10 * _MINUTE, _MINUTE, "m", 1, "s"),
        (3 * _HOUR, _MINUTE, "m", 0, ""),
        (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
        (2 * _DAY, _HOUR, "h", 0, ""),
        (8 * _DAY, _DAY, "d", _HOUR, "h"),
        (2 * _YEAR, _DAY, "d", 0, ""),
        (8 * _YEAR, _YEAR, "y", _DAY, "d"),
    ):
        if whole < limit:
            fine = whole % unit // below if below else 0
            return f"{whole // unit}{name}{fine}{rest}" if fine else f"{whole // unit}{name}"
    return f"{whole // _YEAR}y"


def since(moment: str | None, now: datetime) -> str:
    """How long ago an RFC 3339 moment was, as kubectl shows it; `<unknown>` without one."""
    return human_duration((now - meta.parse_time(moment)).total_seconds()) if moment else "<unknown>"


def age(obj: Obj, now: datetime) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def shortened(parts: Iterable[str], limit: int = 3) -> str:
    """At most `limit` parts, then how many were left out: `a,b,c + 2 more...`."""
    listed = list(parts)
    text = ",".join(listed[:limit])
    return f"{text} + {len(listed) - limit} more..." if len(listed) > limit else text


def partial(obj: Obj) -> Obj:
    """The object's metadata alone, as PartialObjectMetadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


_INCLUDE: dict[str, Callable[[Obj], Obj | None]] = {
    "": partial,
    "Metadata": partial,
    "Object": lambda obj: obj,
    "None": lambda obj: None,
}


def table(
    resource: Resource,
    objects: Iterable[Obj],
    now: datetime,
    *,
    include: str = "Metadata",
    metadata: Obj | None = None,
    columns: bool = True,
    version: str = "v1",
) -> Obj:
    """A Table of `objects`, in their order.

    `include` is the request's includeObject (Metadata, Object, None), `metadata` that of the list.
    `columns` False leaves out the definitions, as in the later events of a watch.
    Raises KeyError for another `include`.
    """
    keep, row = _INCLUDE[include], resource.strategy.row
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata or {},
        "columnDefinitions": definitions(resource) if columns else None,
        "rows": [{"cells": row(obj, now), "object": keep(obj)} for obj in objects],
    }


def definitions(resource: Resource) -> list[Obj]:
    return [
        {"name": c.name, "type": c.type, "format": c.format, "description": c.description, "priority": c.priority}
        for c in resource.strategy.columns
    ]
