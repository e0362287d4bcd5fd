"""The checks of single values, with the texts kubectl shows. `path` is the field; each check returns faults.

Source: k8s.io/kube-openapi/pkg/validation/{validate,errors} and k8s.io/apiextensions-apiserver/pkg/apiserver/validation
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import math
import re
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sampan.api import fields
from sampan.api.crd.node import Schema
from sampan.api.status import FieldError
from sampan.base import regex


def json_type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(value.__class__, "null")


def has_type(value: Any, wanted: str) -> bool:
    found = json_type(value)
    if found == wanted:
        return True
    if wanted == "number":
        return found == "integer"
    return wanted == "integer" and found == "number" and value.is_integer()


def shown(value: Any) -> Any:
    """A value as Go's %#v shows decoded JSON."""
    if isinstance(value, dict):
        inner = ", ".join(f"{fields.quote(k)}:{_nested(value[k])}" for k in sorted(value))
        return fields.Raw(f"map[string]interface {{}}{{{inner}}}")
    if isinstance(value, list):
        return fields.Raw(f"[]interface {{}}{{{', '.join(_nested(v) for v in value)}}}")
    return value


def _nested(value: Any) -> str:
    if value is None:
        return "interface {}(nil)"
    found = shown(value)
    return str(found) if isinstance(found, fields.Raw) else fields.go(found)


def wrong_type(path: str, value: Any, wanted: str) -> FieldError:
    got = json_type(value)
    text = f"Invalid value: {fields.quote(got)}: {path} in body must be of type {wanted}: {fields.quote(got)}"
    return FieldError("FieldValueTypeInvalid", path or "<nil>", text)


def body(path: str, value: Any, rule: str) -> FieldError:
    return fields.invalid(path or "<nil>", shown(value), f"{path} in body {rule}")


def of_string(schema: Schema, value: str, path: str) -> Iterable[FieldError]:
    low, high = schema.get("minLength"), schema.get("maxLength")
    if low is not None and len(value) < low:
        yield body(path, value, f"should be at least {low} chars long")
    if high is not None and len(value) > high:
        yield fields.too_long(path, high)
    pattern = schema.get("pattern")
    if pattern and not regex.compiled(pattern).search(value):
        yield body(path, value, f"should match '{pattern}'")
    check = FORMATS.get(schema.get("format") or "")
    if check is not None and not check(value):
        yield body(path, value, f"must be of type {schema['format']}: {fields.quote(value)}")


def of_number(schema: Schema, value: float, path: str) -> Iterable[FieldError]:
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is not None:
        if schema.get("exclusiveMinimum") and value <= low:
            yield body(path, value, f"should be greater than {_plain(low)}")
        elif value < low:
            yield body(path, value, f"should be greater than or equal to {_plain(low)}")
    if high is not None:
        if schema.get("exclusiveMaximum") and value >= high:
            yield body(path, value, f"should be less than {_plain(high)}")
        elif value > high:
            yield body(path, value, f"should be less than or equal to {_plain(high)}")
    if step and not math.isclose(value / step, round(value / step), abs_tol=1e-9):
        yield body(path, value, f"should be a multiple of {_plain(step)}")


def of_array(schema: Schema, value: list[Any], path: str) -> Iterable[FieldError]:
    low, high = schema.get("minItems"), schema.get("maxItems")
    if low is not None and len(value) < low:
        yield body(path, value, f"should have at least {low} items")
    if high is not None and len(value) > high:
        yield fields.too_many(path, len(value), high)
    kind = schema.get("x-kubernetes-list-type")
    if kind == "set":
        yield from _repeated(value, path, lambda item: item)
    elif kind == "map":
        keys = schema.get("x-kubernetes-list-map-keys") or ()
        yield from _repeated(value, path, lambda item: {k: item[k] for k in keys if k in item})


def _repeated(value: list[Any], path: str, key: Callable[[Any], Any]) -> Iterable[FieldError]:
    seen = set()
    for i, item in enumerate(value):
        found = key(item) if isinstance(item, dict) else item
        text = repr(sorted(found.items())) if isinstance(found, dict) else repr(found)
        if text in seen:
            yield fields.duplicate(f"{path}[{i}]", shown(found))
        seen.add(text)


def of_object(schema: Schema, value: dict[str, Any], path: str) -> Iterable[FieldError]:
    low, high = schema.get("minProperties"), schema.get("maxProperties")
    if low is not None and len(value) < low:
        yield body(path, value, f"should have at least {low} properties")
    if high is not None and len(value) > high:
        yield fields.too_many(path, len(value), high)
    for name in schema.get("required") or ():
        if name not in value:
            yield fields.required(f"{path}.{name}" if path else name)


def of_any(schema: Schema, value: Any, path: str) -> Iterable[FieldError]:
    if allowed := schema.get("enum"):
        known = any(value == v and json_type(value) == json_type(v) for v in allowed)
        if not known:
            listed = [v if isinstance(v, str) else fields.go(v) for v in allowed]
            yield fields.not_supported(path, shown(value), listed)


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _works(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return check


def _pattern(text: str) -> Callable[[str], bool]:
    matches = re.compile(text).fullmatch
    return lambda value: matches(value) is not None


def _cidr(text: str) -> None:
    if "/" not in text:
        raise ValueError(text)
    ipaddress.ip_interface(text)


def _uri(text: str) -> None:
    found = urlsplit(text)
    _ = found.port
    if not found.scheme and not text.startswith("/"):
        raise ValueError(text)


_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_UUID = r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?%s[0-9a-fA-F]{3}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}"
_DATE_TIME = r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})"
# Only these formats are checked; others are notes for people.
FORMATS: dict[str, Callable[[str], bool]] = {
    "ipv4": _works(ipaddress.IPv4Address),
    "ipv6": _works(ipaddress.IPv6Address),
    "cidr": _works(_cidr),
    "mac": _pattern(r"([0-9A-Fa-f]{2}[:-]){5}([0-9A-Fa-f]{2})"),
    "uri": _works(_uri),
    "email": _pattern(r"[^@\s]+@[^@\s]+"),
    "hostname": _pattern(rf"{_LABEL}(\.{_LABEL})*"),
    "uuid": _works(UUID),
    "uuid3": _pattern(_UUID % "3"),
    "uuid4": _pattern(_UUID % "4"),
    "uuid5": _pattern(_UUID % "5"),
    "byte": _works(lambda text: base64.b64decode(text, validate=True)),
    "date": _works(date.fromisoformat),
    "date-time": _pattern(_DATE_TIME),
    "datetime": _pattern(_DATE_TIME),
    "duration": _pattern(r"[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d|w)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*|0"),
    "hexcolor": _pattern(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _pattern(r"rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)"),
    "bsonobjectid": _pattern(r"[0-9a-fA-F]{24}"),
}
