"""Walkers of single values: strings, numbers, quantities, times, base64.

Source: encoding/json (what Go calls JSON types), k8s.io/apimachinery/pkg/apis/meta/v1 Time, pkg/util/intstr.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sampan.api import fields
from sampan.api.quantity import canonical

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


def scalar(cls: type, go_type: str) -> Walker:
    def check(value: Any, unknown: list[str]) -> Any:
        if value.__class__ is not cls:
            raise TypeFault(json_type(value), go_type)
        return value

    return check


def integer(bits: int) -> Walker:
    limit = 1 << (bits - 1)

    def check(value: Any, unknown: list[str]) -> Any:
        if value.__class__ is int and -limit <= value < limit:
            return value
        number = value.__class__ in (int, float)
        raise TypeFault(f"number {value}" if number else json_type(value), f"int{bits}")

    return check


def number(value: Any, unknown: list[str]) -> Any:
    if value.__class__ not in (int, float):
        raise TypeFault(json_type(value), "float64")
    return value


def anything(value: Any, unknown: list[str]) -> Any:
    return value


def quantity(value: Any, unknown: list[str]) -> Any:
    if value.__class__ not in (str, int, float):
        raise ValueError(f"json: cannot unmarshal {json_type(value)} into Go value of type resource.Quantity")
    text = canonical(str(value))
    return value if text == value else text


def int_or_string(value: Any, unknown: list[str]) -> Any:
    if value.__class__ is str or (value.__class__ is int and -(2**31) <= value < 2**31):
        return value
    shown = f"number {value}" if value.__class__ in (int, float) else json_type(value)
    raise ValueError(f"json: cannot unmarshal {shown} into Go value of type int32")


def time(layout: str) -> Walker:
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


def base64_text(value: Any, unknown: list[str]) -> Any:
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
