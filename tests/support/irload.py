"""The representation from YAML, by the types of its fields.

A field at its default is left out. Where a field may be of several classes, the value is {class in lower case: fields}:
`action: {redirect: {code: 301}}`. Names of parts of mappings (`clusters: {web: {endpoints: web}}`) need not be repeated
in the part. A pair of names is a list. An origin is "resource namespace/name field".
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

import golden

from sampan import ir

CLASSES = {
    name.lower(): value
    for name, value in vars(ir).items()
    if isinstance(value, type) and dataclasses.is_dataclass(value)
}


def proxy(data: dict[str, Any]) -> ir.Proxy:
    made: ir.Proxy = load(data, ir.Proxy)
    return made


def load(data: Any, wanted: Any) -> Any:
    if wanted is ir.Origin:
        return _origin(data)
    if wanted is ir.Secret and "host" in data:
        return _certificate(data)
    if dataclasses.is_dataclass(wanted):
        return _dataclass(data, wanted)
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (types.UnionType, typing.Union):
        return _union(data, arguments)
    if origin is tuple:
        return _tuple(data, arguments)
    if origin is Mapping:
        return {key: load(_named(value, arguments[1], key), arguments[1]) for key, value in data.items()}
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return wanted(data)
    if wanted is float:
        return float(data)
    assert isinstance(data, wanted), f"{data!r} is no {wanted}"
    return data


def _dataclass(data: Any, wanted: Any) -> Any:
    hints = typing.get_type_hints(wanted)
    unknown = data.keys() - hints.keys()
    assert not unknown, f"{wanted.__name__} has no {sorted(unknown)}"
    return wanted(**{name: load(value, hints[name]) for name, value in data.items()})


def _union(data: Any, arguments: tuple[Any, ...]) -> Any:
    if data is None:
        return None
    rest = [one for one in arguments if one is not types.NoneType]
    if len(rest) == 1:
        return load(data, rest[0])
    ((name, fields),) = data.items()
    assert CLASSES[name] in rest, name
    return load(fields, CLASSES[name])


def _tuple(data: list[Any], arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if arguments[-1] is Ellipsis:
        return tuple(load(one, arguments[0]) for one in data)
    return tuple(load(one, kind) for one, kind in zip(data, arguments, strict=True))


def _named(value: Any, wanted: Any, key: str) -> Any:
    if any(field.name == "name" for field in dataclasses.fields(wanted)):
        return {"name": key} | (value or {})
    return value


def _origin(text: str) -> ir.Origin:
    resource, _, rest = text.partition(" ")
    whom, _, field = rest.partition(" ")
    namespace, _, name = whom.partition("/")
    return ir.Origin(resource, namespace, name, field)


def _certificate(data: dict[str, Any]) -> ir.Secret:
    """{name, host: …} a certificate made for the host; {name, host: …, roots: true} what is needed to trust it."""
    chain, key = golden.pair((data["host"],), ca=bool(data.get("roots")))
    if data.get("roots"):
        return ir.Secret(data["name"], roots=chain)
    return ir.Secret(data["name"], chain, key)
