"""The Table of a custom resource: its additionalPrinterColumns.

Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from sampan.api import meta
from sampan.api.crd import jsonpath
from sampan.api.meta import Obj
from sampan.api.scheme import Column
from sampan.api.table import NAME, since

_AGE: Obj = {
    "name": "Age",
    "type": "date",
    "description": "The time since the object was created.",
    "jsonPath": ".metadata.creationTimestamp",
}


def columns(given: list[Obj] | None) -> tuple[Column, ...]:
    return (NAME, *(_column(one) for one in given or (_AGE,)))


def _column(one: Obj) -> Column:
    return Column(
        one["name"], one["type"], one.get("format", ""), one.get("description", ""), int(one.get("priority") or 0)
    )


def row(given: list[Obj] | None) -> Callable[[Obj, datetime], list[Any]]:
    """Cells in column order; nothing found is an empty cell."""
    wanted = [(one["type"], jsonpath.parse(one["jsonPath"])) for one in given or (_AGE,)]

    def cells(obj: Obj, now: datetime) -> list[Any]:
        return [meta.name(obj), *(_cell(kind, find(obj), now) for kind, find in wanted)]

    return cells


def _cell(kind: str, found: list[Any], now: datetime) -> Any:
    value = found[0] if found else None
    if value is None:
        return None
    match kind:
        case "string":
            return value if isinstance(value, str) else _text(value)
        case "integer":
            return int(value) if value.__class__ in (int, float) else None
        case "number":
            return value if value.__class__ in (int, float) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            return _date(value, now) if isinstance(value, str) else None
    return None


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _date(value: str, now: datetime) -> str:
    try:
        return since(value, now)
    except (ValueError, TypeError):
        return "<invalid>"
