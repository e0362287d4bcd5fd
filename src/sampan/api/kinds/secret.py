"""Secret (core/v1)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.kinds.configmap import MAX_SIZE, decoded_size, frozen, keys
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

Data = dict[str, str]


def _default(obj: Obj) -> None:
    """`stringData` is write-only: its texts replace the values of `data`."""
    for key, text in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()
    obj.setdefault("type", "Opaque")


def _needs(*wanted: str) -> Callable[[Obj, Data], list[FieldError]]:
    def check(obj: Obj, data: Data) -> list[FieldError]:
        return [fields.required(f"data[{key}]") for key in wanted if key not in data]

    return check


def _json_in(key: str) -> Callable[[Obj, Data], list[FieldError]]:
    def check(obj: Obj, data: Data) -> list[FieldError]:
        if key not in data:
            return [fields.required(f"data[{key}]")]
        try:
            orjson.loads(base64.b64decode(data[key]))
        except (orjson.JSONDecodeError, binascii.Error) as error:
            return [fields.invalid(f"data[{key}]", "<secret contents redacted>", str(error))]
        return []

    return check


def _basic_auth(obj: Obj, data: Data) -> list[FieldError]:
    if "username" in data or "password" in data:
        return []
    return [fields.required("data[username]"), fields.required("data[password]")]


def _service_account(obj: Obj, data: Data) -> list[FieldError]:
    if meta.annotations(obj).get("kubernetes.io/service-account.name"):
        return []
    return [fields.required("metadata.annotations[kubernetes.io/service-account.name]")]


_BY_TYPE: dict[str, Callable[[Obj, Data], list[FieldError]]] = {
    "kubernetes.io/service-account-token": _service_account,
    "kubernetes.io/dockercfg": _json_in(".dockercfg"),
    "kubernetes.io/dockerconfigjson": _json_in(".dockerconfigjson"),
    "kubernetes.io/basic-auth": _basic_auth,
    "kubernetes.io/ssh-auth": _needs("ssh-privatekey"),
    "kubernetes.io/tls": _needs("tls.crt", "tls.key"),
}


def _contents(obj: Obj) -> list[FieldError]:
    data = obj.get("data") or {}
    found = keys(data, "data")
    if decoded_size(data) > MAX_SIZE:
        found.append(fields.too_long("data", MAX_SIZE))
    check = _BY_TYPE.get(obj["type"])
    return found + (check(obj, data) if check else [])


def _validate(obj: Obj) -> list[FieldError]:
    return objectmeta.validate(obj["metadata"], namespaced=True) + _contents(obj)


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    found += validation.immutable("type", new["type"], old["type"])
    return found + frozen(new, old, ("data",)) + _contents(new)


def _row(obj: Obj, now: datetime) -> list[Any]:
    return [meta.name(obj), obj["type"], len(obj.get("data") or ()), age(obj, now)]


RESOURCE = Resource(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    definition="io.k8s.api.core.v1.Secret",
    singular="secret",
    fields={"type": lambda obj: str(obj["type"])},
    strategy=Strategy(
        columns=(NAME, Column("Type", description="The secret's type"), Column("Data"), AGE),
        row=_row,
        default=_default,
        validate=_validate,
        validate_update=_validate_update,
    ),
)
