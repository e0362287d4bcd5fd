"""CEL's `format`: Kubernetes' name rules as values. `format.dns1123Label().validate(x)` is an optional list of faults.

The engine takes no optionals from outside, so the result is a map of its own that answers hasValue() and value().
Source: k8s.io/apiserver/pkg/cel/library/format.go
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import date, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sampan.api import validation
from sampan.api.cel.rows import Row, Tagged

_FORMAT, _FAULTS = "kubernetes.Format", "kubernetes.Faults"


def _prefix(check: validation.Check) -> validation.Check:
    """The rule of names to which a suffix will be added: a dash at the end is fine."""
    return lambda text: check(f"{text[:-1]}a" if text.endswith("-") else text)


def _parsed(parse: Callable[[str], Any], fault: str) -> validation.Check:
    def check(text: str) -> list[str]:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return [fault]
        return []

    return check


def _uri(text: str) -> None:
    if not urlsplit(text).scheme and not text.startswith("/"):
        raise ValueError(text)


def _datetime(text: str) -> None:
    if datetime.fromisoformat(text).tzinfo is None or len(text) < len("2006-01-02T15:04:05Z"):
        raise ValueError(text)


_CHECKS: dict[str, validation.Check] = {
    "dns1123Label": validation.dns_label,
    "dns1123Subdomain": validation.dns_subdomain,
    "dns1035Label": validation.dns_1035_label,
    "qualifiedName": validation.qualified_name,
    "dns1123LabelPrefix": _prefix(validation.dns_label),
    "dns1123SubdomainPrefix": _prefix(validation.dns_subdomain),
    "dns1035LabelPrefix": _prefix(validation.dns_1035_label),
    "labelValue": validation.label_value,
    "uri": _parsed(_uri, "invalid URI format"),
    "uuid": _parsed(UUID, "does not match the UUID format"),
    "byte": _parsed(lambda text: base64.b64decode(text, validate=True), "invalid base64"),
    "date": _parsed(date.fromisoformat, "invalid date"),
    "datetime": _parsed(_datetime, "invalid datetime"),
}


def _named(name: str) -> Tagged:
    if name not in _CHECKS:
        raise ValueError(f"no such format: {name}")
    return {_FORMAT: name}


def _validate(value: Tagged, text: str) -> Tagged:
    if _FORMAT not in value:
        raise ValueError("no such overload: expected a format")
    return {_FAULTS: _CHECKS[value[_FORMAT]](text)}


def _has_faults(value: Tagged) -> bool:
    if _FAULTS not in value:
        raise ValueError("no such overload: hasValue() of a map")
    return bool(value[_FAULTS])


def _faults(value: Tagged) -> list[str]:
    if not _has_faults(value):
        raise ValueError("optional.none() dereference")
    return list(value[_FAULTS])


def _constant(name: str) -> Callable[[], Tagged]:
    return lambda: {_FORMAT: name}


ROWS: tuple[Row, ...] = (
    *((f"format.{name}", "", "", "*", _constant(name)) for name in _CHECKS),
    ("format.named", "", "s", "*", _named),
    ("validate", "m", "s", "*", _validate),
    ("hasValue", "m", "", "b", _has_faults),
    ("value", "m", "", "*", _faults),
)
