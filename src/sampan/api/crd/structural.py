"""Is a schema structural? The rules a CRD's schema must keep, with kube-apiserver's texts.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/validation.go and pkg/apis/apiextensions/validation (1.32)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sampan.api import cel, fields
from sampan.api.crd import rules
from sampan.api.crd.node import Schema
from sampan.api.status import FieldError
from sampan.base import regex

ROOT, ITEM, FIELD = "at the root", "for specified array items", "for specified object fields"
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_JUNCTORS = ("anyOf", "allOf", "oneOf")
# Fields of a schema that v1 has no use for.
_FORBIDDEN = {
    "additionalItems": "additionalItems is not supported",
    "patternProperties": "patternProperties is not supported",
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
    "$ref": "$ref is not supported",
    "id": "id is not supported",
}
_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_LIST_TYPES, _MAP_TYPES = ("atomic", "map", "set"), ("atomic", "granular")
# What must not stand in a schema under allOf, anyOf, oneOf or not: (field, what it must be).
_NESTED = (
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
)


def validate(schema: Schema, path: str) -> list[FieldError]:
    """All faults, sorted. `path` is that of the root schema."""
    return sorted(_schema(schema, path, ROOT), key=str)


def _schema(schema: Schema, path: str, level: str) -> Iterator[FieldError]:
    yield from _shape(schema, path, level)
    yield from _extensions(schema, path)
    yield from _lists(schema, path)
    yield from _junctors(schema, path)
    yield from _expressions(schema, path)
    yield from _complete(schema, schema, path)
    if isinstance(items := schema.get("items"), Mapping):
        yield from _schema(items, f"{path}.items", ITEM)
    elif items is not None:
        yield fields.forbidden(f"{path}.items", "items must be a schema object and not an array")
    for name, inner in (schema.get("properties") or {}).items():
        if level != ROOT or name != "metadata":
            yield from _schema(inner, f"{path}.properties[{name}]", FIELD)
    if isinstance(inner := schema.get("additionalProperties"), Mapping):
        yield from _schema(inner, f"{path}.additionalProperties", FIELD)


def _shape(schema: Schema, path: str, level: str) -> Iterator[FieldError]:
    kind, embedded = schema.get("type", ""), schema.get("x-kubernetes-embedded-resource")
    if embedded and kind != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        yield fields.invalid(f"{path}.type", kind, text) if kind else fields.required(f"{path}.type", text)
    elif (
        not kind
        and not schema.get("x-kubernetes-int-or-string")
        and not schema.get("x-kubernetes-preserve-unknown-fields")
    ):
        yield fields.required(f"{path}.type", f"must not be empty {level}")
    if kind and kind not in _TYPES:
        yield fields.not_supported(f"{path}.type", kind, _TYPES)
    if level == ROOT and kind and kind != "object":
        yield fields.invalid(f"{path}.type", kind, "must be object at the root")
    if kind == "array" and schema.get("items") is None:
        yield fields.required(f"{path}.items", "must be specified")
    if schema.get("additionalProperties") is not None:
        if level == ROOT:
            yield fields.forbidden(f"{path}.additionalProperties", "must not be used at the root")
        if embedded:
            text = "must not be used if x-kubernetes-embedded-resource is set"
            yield fields.forbidden(f"{path}.additionalProperties", text)
        if schema.get("properties"):
            text = "additionalProperties and properties are mutual exclusive"
            yield fields.forbidden(f"{path}.additionalProperties", text)
        if schema["additionalProperties"] is False:
            yield fields.forbidden(f"{path}.additionalProperties", "additionalProperties cannot be set to false")
    if level == ROOT or embedded:
        yield from _identity(schema, path, level)


def _identity(schema: Schema, path: str, level: str) -> Iterator[FieldError]:
    """apiVersion, kind and metadata are given; a schema may only restrict names."""
    properties = schema.get("properties") or {}
    for name, kind in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        if name in properties and properties[name].get("type") != kind:
            found = properties[name].get("type", "")
            yield fields.invalid(f"{path}.properties[{name}].type", found, f"must be {kind}")
    limits = properties.get("metadata") or {}
    beyond = set(limits) - {"type", "properties", "description"} or set(limits.get("properties") or ()) - {
        "name",
        "generateName",
    }
    if level == ROOT and beyond:
        text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield fields.forbidden(f"{path}.properties[metadata]", text)
    embedded = schema.get("x-kubernetes-embedded-resource")
    if embedded and not schema.get("x-kubernetes-preserve-unknown-fields") and not properties:
        text = (
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        )
        yield fields.required(f"{path}.properties", text)


def _extensions(schema: Schema, path: str) -> Iterator[FieldError]:
    for name, text in _FORBIDDEN.items():
        if schema.get(name):
            yield fields.forbidden(f"{path}.{name}", text)
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield fields.forbidden(f"{path}.uniqueItems", text)
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        at = f"{path}.x-kubernetes-preserve-unknown-fields"
        yield fields.invalid(at, False, "must be true or undefined")
    if schema.get("x-kubernetes-int-or-string"):
        for name in ("preserve-unknown-fields", "embedded-resource"):
            if schema.get(f"x-kubernetes-{name}"):
                text = "must be false if x-kubernetes-int-or-string is true"
                yield fields.invalid(f"{path}.x-kubernetes-{name}", True, text)
        if schema.get("type"):
            text = "must be empty if x-kubernetes-int-or-string is true"
            yield fields.invalid(f"{path}.type", schema["type"], text)
    if (kind := schema.get("x-kubernetes-map-type")) is not None:
        if kind not in _MAP_TYPES:
            yield fields.not_supported(f"{path}.x-kubernetes-map-type", kind, _MAP_TYPES)
        if schema.get("type") != "object":
            text = "must be object if x-kubernetes-map-type is specified"
            yield fields.invalid(f"{path}.type", schema.get("type", ""), text)
    if pattern := schema.get("pattern"):
        try:
            regex.compiled(pattern)
        except regex.NotRe2 as error:
            why = f"must be a valid regular expression, but isn't: error parsing regexp: {error}"
            yield fields.invalid(f"{path}.pattern", pattern, why)


def _lists(schema: Schema, path: str) -> Iterator[FieldError]:
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys")
    at = f"{path}.x-kubernetes-list-map-keys"
    if kind is not None and kind not in _LIST_TYPES:
        yield fields.not_supported(f"{path}.x-kubernetes-list-type", kind, _LIST_TYPES)
    if kind is not None and schema.get("type") != "array":
        text = "must be array if x-kubernetes-list-type is specified"
        if schema.get("type"):
            yield fields.invalid(f"{path}.type", schema["type"], text)
        else:
            yield fields.required(f"{path}.type", text)
    if keys and kind != "map":
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        where = f"{path}.x-kubernetes-list-type"
        yield fields.invalid(where, kind, text) if kind else fields.required(where, text)
    if kind != "map":
        return
    items = schema.get("items") or {}
    if not keys:
        yield fields.required(at, "must not be empty if x-kubernetes-list-type is map")
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        yield fields.invalid(f"{path}.items.type", items.get("type", ""), text)
    seen = set()
    for i, key in enumerate(keys or ()):
        inner = (items.get("properties") or {}).get(key)
        if inner is None:
            yield fields.invalid(f"{at}[{i}]", key, "entries must all be names of item properties")
        elif inner.get("type") in ("array", "object"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield fields.invalid(f"{path}.items.properties[{key}].type", inner["type"], text)
        elif inner.get("default") is None and key not in (items.get("required") or ()):
            text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            yield fields.required(f"{path}.items.properties[{key}].default", text)
        if key in seen:
            yield fields.duplicate(f"{at}[{i}]", key)
        seen.add(key)


def _junctors(schema: Schema, path: str) -> Iterator[FieldError]:
    either = schema.get("x-kubernetes-int-or-string")
    for word in _JUNCTORS:
        for i, inner in enumerate(schema.get(word) or ()):
            at = f"{path}.{word}[{i}]"
            if either and word == "anyOf" and schema[word] == _INT_OR_STRING:
                continue
            if either and word == "allOf" and i == 0 and inner.get("anyOf") == _INT_OR_STRING:
                inner = {k: v for k, v in inner.items() if k != "anyOf"}
            yield from _nested(inner, at)
    if schema.get("not") is not None:
        yield from _nested(schema["not"], f"{path}.not")


def _nested(schema: Schema, path: str) -> Iterator[FieldError]:
    for name, text in _NESTED:
        if schema.get(name):
            yield fields.forbidden(f"{path}.{name}", text)
    properties = schema.get("properties") or {}
    if "metadata" in properties:
        yield fields.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")
    for name, inner in properties.items():
        yield from _nested(inner, f"{path}.properties[{name}]")
    if isinstance(schema.get("items"), Mapping):
        yield from _nested(schema["items"], f"{path}.items")
    yield from _junctors(schema, path)


def _complete(schema: Schema, nested: Schema, path: str) -> Iterator[FieldError]:
    """Every field that value validation speaks of must be specified outside of it too."""
    for word in _JUNCTORS:
        for i, inner in enumerate(nested.get(word) or ()):
            yield from _specified(schema, inner, path, f"{path}.{word}[{i}]")
    if nested.get("not") is not None:
        yield from _specified(schema, nested["not"], path, f"{path}.not")


def _specified(schema: Schema, nested: Schema, path: str, at: str) -> Iterator[FieldError]:
    properties = schema.get("properties") or {}
    for name, inner in (nested.get("properties") or {}).items():
        here = properties.get(name)
        if here is None and isinstance(schema.get("additionalProperties"), Mapping):
            continue
        if here is None:
            text = f"because it is defined in {at}.properties[{name}]"
            yield fields.required(f"{path}.properties[{name}]", text)
        else:
            yield from _specified(here, inner, f"{path}.properties[{name}]", f"{at}.properties[{name}]")
    if isinstance(nested.get("items"), Mapping):
        if not isinstance(schema.get("items"), Mapping):
            yield fields.required(f"{path}.items", f"because it is defined in {at}.items")
        else:
            yield from _specified(schema["items"], nested["items"], f"{path}.items", f"{at}.items")
    for word in _JUNCTORS:
        for i, inner in enumerate(nested.get(word) or ()):
            yield from _specified(schema, inner, path, f"{at}.{word}[{i}]")


def _expressions(schema: Schema, path: str) -> Iterator[FieldError]:
    """x-kubernetes-validations: every expression must compile and give what is wanted of it."""
    for i, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        at = f"{path}.x-kubernetes-validations[{i}]"
        text = rule.get("rule", "")
        if not text.strip():
            yield fields.required(f"{at}.rule", "rule is not specified")
            continue
        if (fault := _fault(rule, text, "bool")) is not None:
            yield fields.invalid(f"{at}.rule", text, fault)
        message = rule.get("message", "")
        if "\n" in message:
            yield fields.invalid(f"{at}.message", message, "message must not contain line breaks")
        expression = rule.get("messageExpression", "")
        if expression and (fault := _fault(rule, expression, "string")) is not None:
            yield fields.invalid(f"{at}.messageExpression", expression, fault)
        if (reason := rule.get("reason")) and reason not in rules.REASONS:
            yield fields.not_supported(f"{at}.reason", reason, sorted(rules.REASONS))


def _fault(rule: Any, expression: str, wanted: str) -> str | None:
    try:
        kind = cel.check(*rules.source(rule, expression)).kind
    except cel.CompileError as error:
        return str(error)
    if kind in (wanted, "dyn"):
        return None
    return "cel expression must evaluate to a bool" if wanted == "bool" else "must evaluate to a string"
