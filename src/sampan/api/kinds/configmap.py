"""ConfigMap (core/v1)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

MAX_SIZE = 1024 * 1024
FROZEN = "field is immutable when `immutable` is set"


def decoded_size(data: Mapping[str, str]) -> int:
    """Bytes that base64 values stand for."""
    return sum(len(base64.b64decode(value)) for value in data.values())


def keys(data: Mapping[str, str], path: str) -> list[FieldError]:
    """Keys become file names; each fault stands at `path[key]`."""
    return [error for key in data for error in validation.each(validation.config_key, f"{path}[{key}]", key)]


def frozen(new: Obj, old: Obj, parts: tuple[str, ...]) -> list[FieldError]:
    """What may no longer change once `immutable: true` was set (ConfigMap and Secret)."""
    if not old.get("immutable"):
        return []
    found = [] if new.get("immutable") else [fields.forbidden("immutable", FROZEN)]
    return found + [fields.forbidden(p, FROZEN) for p in parts if (new.get(p) or {}) != (old.get(p) or {})]


def _contents(obj: Obj) -> list[FieldError]:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    found: list[FieldError] = []
    for key in data:
        found += validation.each(validation.config_key, f"data[{key}]", key)
        if key in binary:
            found.append(fields.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    found += keys(binary, "binaryData")
    if sum(len(v.encode()) for v in data.values()) + decoded_size(binary) > MAX_SIZE:
        found.append(fields.too_long("[]", MAX_SIZE))  # Go's text for the path of the whole object
    return found


def _validate(obj: Obj) -> list[FieldError]:
    return objectmeta.validate(obj["metadata"], namespaced=True) + _contents(obj)


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    return found + frozen(new, old, ("data", "binaryData")) + _contents(new)


def _row(obj: Obj, now: datetime) -> list[Any]:
    count = len(obj.get("data") or ()) + len(obj.get("binaryData") or ())
    return [meta.name(obj), count, age(obj, now)]


RESOURCE = Resource(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    definition="io.k8s.api.core.v1.ConfigMap",
    singular="configmap",
    short=("cm",),
    strategy=Strategy(
        columns=(NAME, Column("Data", description="The number of keys"), AGE),
        row=_row,
        validate=_validate,
        validate_update=_validate_update,
    ),
)
