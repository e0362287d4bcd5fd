"""Faults of fields: the constructors of `FieldError`, with the texts kube-apiserver 1.32 prints.

Source: k8s.io/apimachinery/pkg/util/validation/field. A path is a plain string ("spec.ports[0].port"); build children
with an f-string. Values in "Invalid value" are shown as Go shows them with %#v: strings quoted, numbers bare, a map of
strings as map[string]string{"app":"x"}. Give `Raw(text)` when a value has a form of its own (a struct).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sampan.api.meta import Obj
from sampan.api.status import FieldError


class Raw(str):
    """Text that is shown as it is, without quotes."""


# A value that is not shown at all.
OMIT = Raw("")


def quote(text: str) -> str:
    """Go's %q for printable text: double quotes, backslash escapes, other scripts left readable."""
    return json.dumps(text, ensure_ascii=False)


def go(value: Any) -> str:
    """A JSON value as Go's %#v shows its usual type: {"app": "x"} is map[string]string{"app":"x"}."""
    match value:
        case Raw():
            return str(value)
        case None:
            return quote("null")
        case bool():
            return "true" if value else "false"
        case str():
            return quote(value)
        case int() | float():
            return f"{value:g}" if isinstance(value, float) else str(value)
        case dict():
            inner = ", ".join(f"{quote(k)}:{go(value[k])}" for k in sorted(value))
            return f"map[string]string{{{inner}}}"
        case _:
            return f"[]string{{{', '.join(go(v) for v in value)}}}"


def go_label_selector(selector: Obj | None) -> Raw:
    """A LabelSelector as Go's %#v shows the struct (`spec.selector: Invalid value: v1.LabelSelector{…}`)."""
    if selector is None:
        return Raw('"null"')
    labels = selector.get("matchLabels")
    expressions = selector.get("matchExpressions")
    shown = "[]v1.LabelSelectorRequirement(nil)"
    if expressions:
        inner = ", ".join(
            f"v1.LabelSelectorRequirement{{Key:{go(e.get('key', ''))}, Operator:{go(e.get('operator', ''))}, "
            f"Values:{go(e['values']) if e.get('values') else '[]string(nil)'}}}"
            for e in expressions
        )
        shown = f"[]v1.LabelSelectorRequirement{{{inner}}}"
    matched = go(labels) if labels else "map[string]string(nil)"
    return Raw(f"v1.LabelSelector{{MatchLabels:{matched}, MatchExpressions:{shown}}}")


def _body(what: str, value: Any, detail: str) -> str:
    shown = what if value is OMIT else f"{what}: {go(value)}"
    return f"{shown}: {detail}" if detail else shown


def required(path: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", path, _body("Required value", OMIT, detail))


def invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", path, _body("Invalid value", value, detail))


def forbidden(path: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", path, _body("Forbidden", OMIT, detail))


def not_supported(path: str, value: Any, supported: Iterable[str]) -> FieldError:
    """`supported` is listed in the order given; apiserver sorts it, so pass a sorted tuple."""
    listed = ", ".join(quote(v) for v in supported)
    return FieldError(
        "FieldValueNotSupported",
        path,
        _body("Unsupported value", value, f"supported values: {listed}" if listed else ""),
    )


def duplicate(path: str, value: Any, detail: str = "") -> FieldError:
    return FieldError("FieldValueDuplicate", path, _body("Duplicate value", value, detail))


def not_found(path: str, value: Any) -> FieldError:
    return FieldError("FieldValueNotFound", path, _body("Not found", value, ""))


def too_long(path: str, limit: int) -> FieldError:
    """`limit` in bytes."""
    return FieldError("FieldValueTooLong", path, _body("Too long", OMIT, f"may not be more than {limit} bytes"))


def too_many(path: str, actual: int, limit: int) -> FieldError:
    return FieldError("FieldValueTooMany", path, _body("Too many", actual, f"must have at most {limit} items"))
