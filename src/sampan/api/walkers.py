"""Walkers: each Kubernetes definition compiled once into a closure that checks and cleans a value in place.

Source: sigs.k8s.io/json and encoding/json (how Go names types, paths and faults).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from sampan.api import definitions, fields
from sampan.api.definitions import Definition
from sampan.api.quantity import Quantity

# Takes a value and a list that collects the paths of unknown fields; returns the value, or what it must become.
Walker = Callable[[Any, list[str]], Any]


class TypeFault(ValueError):
    """A value of the wrong JSON type. The path grows while the fault travels outwards."""

    def __init__(self, value: str, go_type: str) -> None:
        super().__init__(value, go_type)
        self.value, self.go_type = value, go_type
        self.struct = ""
        self.path: list[str] = []

    def inside(self, struct: str, key: str) -> None:
        self.struct = self.struct or struct
        self.path.insert(0, key)

    def __str__(self) -> str:
        where = f"struct field {self.struct}.{'.'.join(self.path)}" if self.struct else "value"
        return f"json: cannot unmarshal {self.value} into Go {where} of type {self.go_type}"


def walk(definition: str, obj: Any) -> list[str]:
    """Check an object in place and return the paths of the unknown fields, which are removed.

    Nulls are removed (in lists and maps they become the zero value) and quantities become canonical, as decoding into
    Go's structs does. Raises TypeFault, or ValueError for malformed quantities, times and base64.
    """
    unknown: list[str] = []
    walker(definition)(obj, unknown)
    return unknown


@cache
def walker(definition: str) -> Walker:
    """The compiled walker of a named definition. Recursive definitions meet their own walker when they run."""
    if special := _SPECIAL.get(definition):
        return special
    schema = definitions.load()[definition]
    return _struct(_go_name(definition), schema["properties"]) if "properties" in schema else _anything


def _compile(schema: Definition) -> Walker:
    if name := definitions.ref(schema):
        return lambda value, unknown: walker(name)(value, unknown)
    match definitions.type_of(schema):
        case "array":
            return _list(_compile(schema["items"]), _go_type(schema), _zero(schema["items"]))
        case "object" if "additionalProperties" in schema:
            inner = schema["additionalProperties"]
            return _map(_compile(inner), _go_type(schema), _zero(inner))
        case "string":
            return _base64 if schema.get("format") == "byte" else _scalar(str, "string")
        case "integer":
            return _integer(32 if schema.get("format") == "int32" else 64)
        case "number":
            return _number
        case "boolean":
            return _scalar(bool, "bool")
        case _:
            return _anything


def _struct(name: str, properties: dict[str, Definition]) -> Walker:
    # Strings are most of any object: their type is compared right here, without a call.
    walkers: dict[str, Walker | None] = {
        key: None if _plain_string(schema) else _compile(schema) for key, schema in properties.items()
    }
    go_type = f"v1.{name}"

    def check(value: Any, unknown: list[str]) -> Any:
        if value.__class__ is not dict:
            raise TypeFault(json_type(value), go_type)
        changed: list[tuple[str, Any]] = []
        key = ""
        try:
            for key, inner in value.items():
                if inner is None:
                    changed.append((key, None))
                    if key not in walkers:
                        unknown.append(key)
                    continue
                step = walkers.get(key, _missing)
                if step is None:
                    if inner.__class__ is not str:
                        raise TypeFault(json_type(inner), "string")
                elif step is _missing:
                    unknown.append(key)
                    changed.append((key, None))
                else:
                    before = len(unknown)
                    if (new := step(inner, unknown)) is not inner:
                        changed.append((key, new))
                    if len(unknown) > before:
                        unknown[before:] = [f"{key}{_joint(path)}" for path in unknown[before:]]
        except TypeFault as fault:
            fault.inside(name, key)
            raise
        for key, new in changed:
            if new is None:
                del value[key]
            else:
                value[key] = new
        return value

    return check


def _missing(value: Any, unknown: list[str]) -> Any:
    """Stands for "no such field"; never called."""
    raise AssertionError


def _joint(path: str) -> str:
    return path if path.startswith("[") else f".{path}"


def _list(item: Walker, go_type: str, zero: Any) -> Walker:
    def check(value: Any, unknown: list[str]) -> Any:
        if value.__class__ is not list:
            raise TypeFault(json_type(value), go_type)
        for i, inner in enumerate(value):
            before = len(unknown)
            value[i] = item(inner, unknown) if inner is not None else _copy(zero)
            if len(unknown) > before:
                unknown[before:] = [f"[{i}]{_joint(path)}" for path in unknown[before:]]
        return value

    return check


def _map(item: Walker, go_type: str, zero: Any) -> Walker:
    def check(value: Any, unknown: list[str]) -> Any:
        if value.__class__ is not dict:
            raise TypeFault(json_type(value), go_type)
        for key, inner in value.items():
            before = len(unknown)
            value[key] = item(inner, unknown) if inner is not None else _copy(zero)
            if len(unknown) > before:
                unknown[before:] = [f"{key}{_joint(path)}" for path in unknown[before:]]
        return value

    return check


def _copy(zero: Any) -> Any:
    return dict(zero) if isinstance(zero, dict) else zero


def _zero(schema: Definition) -> Any:
    """Go's zero value for a null inside a list or map."""
    if definitions.ref(schema).endswith("Quantity"):
        return "0"
    if definitions.ref(schema):
        return {}
    return {"string": "", "integer": 0, "number": 0, "boolean": False}.get(definitions.type_of(schema))


def _scalar(cls: type, go_type: str) -> Walker:
    def check(value: Any, unknown: list[str]) -> Any:
        if value.__class__ is not cls:
            raise TypeFault(json_type(value), go_type)
        return value

    return check


def _integer(bits: int) -> Walker:
    limit = 1 << (bits - 1)

    def check(value: Any, unknown: list[str]) -> Any:
        if value.__class__ is int and -limit <= value < limit:
            return value
        number = value.__class__ in (int, float)
        raise TypeFault(f"number {value}" if number else json_type(value), f"int{bits}")

    return check


def _number(value: Any, unknown: list[str]) -> Any:
    if value.__class__ not in (int, float):
        raise TypeFault(json_type(value), "float64")
    return value


def _anything(value: Any, unknown: list[str]) -> Any:
    return value


def _quantity(value: Any, unknown: list[str]) -> Any:
    if value.__class__ not in (str, int, float):
        raise ValueError(f"json: cannot unmarshal {json_type(value)} into Go value of type resource.Quantity")
    text = str(Quantity.parse(value))
    return value if text == value else text


def _int_or_string(value: Any, unknown: list[str]) -> Any:
    if value.__class__ is str or (value.__class__ is int and -(2**31) <= value < 2**31):
        return value
    shown = f"number {value}" if value.__class__ in (int, float) else json_type(value)
    raise ValueError(f"json: cannot unmarshal {shown} into Go value of type int32")


def _time(layout: str) -> Walker:
    def check(value: Any, unknown: list[str]) -> Any:
        if value.__class__ is not str:
            raise ValueError(f"json: cannot unmarshal {json_type(value)} into Go value of type string")
        try:
            if "T" in value and datetime.fromisoformat(value).tzinfo:
                return value
        except ValueError:
            pass
        raise ValueError(f"parsing time {fields.quote(value)} as {fields.quote(layout)}: not an RFC 3339 time in UTC")

    return check


def _base64(value: Any, unknown: list[str]) -> Any:
    if value.__class__ is not str:
        raise TypeFault(json_type(value), "[]uint8")
    if (at := _illegal_base64(value)) is not None:
        raise ValueError(f"illegal base64 data at input byte {at}")
    return value


_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def _illegal_base64(text: str) -> int | None:
    """Where Go's base64.StdEncoding stops (line breaks are skipped), or None when the text is fine."""
    stripped = text.rstrip("=\r\n")
    at, group = 0, 0
    for at, char in enumerate(stripped):
        if char in _ALPHABET:
            group = (group + 1) % 4
        elif char not in "\r\n":
            return at
    padding = text[len(stripped) :].replace("\r", "").replace("\n", "")
    if len(padding) == (4 - group) % 4 and group != 1:
        return None
    if not padding:
        return len(text) - group
    return len(text) if len(padding) < 4 - group and group > 1 else len(stripped)


def json_type(value: Any) -> str:
    """What encoding/json calls the kind of a JSON value."""
    names = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
    return names.get(value.__class__, "null")


def _plain_string(schema: Definition) -> bool:
    return definitions.type_of(schema) == "string" and schema.get("format") != "byte" and "$ref" not in schema


def _go_name(definition: str) -> str:
    return definition.rpartition(".")[2]


def _go_type(schema: Definition) -> str:
    """Go's name of a schema's type: []v1.ServicePort, map[string]string."""
    if name := definitions.ref(schema):
        return _GO_SPECIAL.get(name, f"v1.{_go_name(name)}")
    match definitions.type_of(schema):
        case "array":
            return f"[]{_go_type(schema['items'])}"
        case "object":
            inner = schema.get("additionalProperties")
            return f"map[string]{_go_type(inner)}" if inner else "map[string]interface {}"
        case "string":
            return "[]uint8" if schema.get("format") == "byte" else "string"
        case "integer":
            return str(schema.get("format", "int64"))
        case kind:
            return {"boolean": "bool", "number": "float64"}.get(kind, "interface {}")


_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_SPECIAL: dict[str, Walker] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": _quantity,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    f"{_META}.Time": _time("2006-01-02T15:04:05Z07:00"),
    f"{_META}.MicroTime": _time("2006-01-02T15:04:05.000000Z07:00"),
}
_GO_SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "resource.Quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "intstr.IntOrString",
}
