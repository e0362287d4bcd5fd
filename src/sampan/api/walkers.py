"""Walkers: each Kubernetes definition compiled once into a closure that checks and cleans a value in place.

Source: sigs.k8s.io/json and encoding/json (how Go names types, paths and faults).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sampan.api import definitions, scalars
from sampan.api.definitions import Definition
from sampan.api.scalars import Walker


def walk(definition: str, obj: Any) -> list[str]:
    """Check an object in place and return the paths of the unknown fields, which are removed.

    Nulls are removed (in lists and maps they become the zero value) and quantities become canonical, as decoding into
    Go's structs does. Raises scalars.TypeFault, or ValueError for malformed quantities, times and base64.
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
    return _struct(_go_name(definition), schema["properties"]) if "properties" in schema else scalars.anything


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
            return scalars.base64_text if schema.get("format") == "byte" else scalars.scalar(str, "string")
        case "integer":
            return scalars.integer(32 if schema.get("format") == "int32" else 64)
        case "number":
            return scalars.number
        case "boolean":
            return scalars.scalar(bool, "bool")
        case _:
            return scalars.anything


def _struct(name: str, properties: dict[str, Definition]) -> Walker:
    # Strings are most of any object: their type is compared right here, without a call.
    walkers: dict[str, Walker | None] = {
        key: None if _plain_string(schema) else _compile(schema) for key, schema in properties.items()
    }
    go_type = f"v1.{name}"

    def check(value: Any, unknown: list[str]) -> Any:
        if value.__class__ is not dict:
            raise scalars.TypeFault(scalars.json_type(value), go_type)
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
                        raise scalars.TypeFault(scalars.json_type(inner), "string")
                elif step is _missing:
                    unknown.append(key)
                    changed.append((key, None))
                else:
                    before = len(unknown)
                    if (new := step(inner, unknown)) is not inner:
                        changed.append((key, new))
                    if len(unknown) > before:
                        unknown[before:] = [f"{key}{_joint(path)}" for path in unknown[before:]]
        except scalars.TypeFault as fault:
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
            raise scalars.TypeFault(scalars.json_type(value), go_type)
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
            raise scalars.TypeFault(scalars.json_type(value), go_type)
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
    "io.k8s.apimachinery.pkg.api.resource.Quantity": scalars.quantity,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": scalars.int_or_string,
    f"{_META}.Time": scalars.time("2006-01-02T15:04:05Z07:00"),
    f"{_META}.MicroTime": scalars.time("2006-01-02T15:04:05.000000Z07:00"),
}
_GO_SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "resource.Quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "intstr.IntOrString",
}
