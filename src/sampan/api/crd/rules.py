"""x-kubernetes-validations: CEL rules of a schema, with transition rules.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules,
k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sampan.api import cel, fields
from sampan.api.crd.node import Node, Schema
from sampan.api.status import FieldError

_OLD = re.compile(r"\boldSelf\b")
_VARIABLES = ("oldSelf", "self")
_OPTIONAL = ("hasOldSelf__", "oldSelf__", "self")
REASONS = ("FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate")
_MAKE: dict[str, Callable[[str, Any, str], FieldError]] = {
    "FieldValueInvalid": fields.invalid,
    "FieldValueForbidden": lambda path, value, text: fields.forbidden(path, text),
    "FieldValueRequired": lambda path, value, text: fields.required(path, text),
    "FieldValueDuplicate": fields.duplicate,
}
_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)


def present(node: Node) -> bool:
    """Are there rules here or below?"""
    known: bool | None = node.__dict__.get("has_rules")
    if known is None:
        known = node.__dict__["has_rules"] = _present(node.schema)
    return known


def _present(schema: Schema) -> bool:
    if schema.get("x-kubernetes-validations"):
        return True
    inner = [*(schema.get("properties") or {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return any(isinstance(one, Mapping) and _present(one) for one in inner)


def transition(rule: Schema) -> bool:
    """Does the rule compare with the old value?"""
    return bool(_OLD.search(rule["rule"]) or _OLD.search(rule.get("messageExpression") or ""))


def source(rule: Schema, expression: str) -> tuple[str, tuple[str, ...]]:
    """What to compile for a rule's expression: the text and its variables."""
    if rule.get("optionalOldSelf"):
        old = "hasOldSelf__ ? optional.of(oldSelf__) : optional.none()"
        return f"cel.bind(oldSelf, {old}, {expression})", _OPTIONAL
    return expression, _VARIABLES


def _of(node: Node) -> list[tuple[Schema, bool]]:
    """The rules of this very node, and whether each compares with the old value."""
    known: list[tuple[Schema, bool]] | None = node.__dict__.get("rules")
    if known is None:
        found = node.schema.get("x-kubernetes-validations") or ()
        known = node.__dict__["rules"] = [(rule, transition(rule)) for rule in found]
    return known


def check(node: Node, value: Any, old: Any, has_old: bool, path: str) -> Iterator[FieldError]:
    """The faults that the rules of this very node find."""
    found = _of(node)
    if not found:
        return
    same = has_old and value == old
    bindings: dict[str, Any] | None = None
    for rule, moves in found:
        optional = bool(rule.get("optionalOldSelf"))
        if (moves and not has_old and not optional) or (not moves and same):
            continue
        if bindings is None:
            bindings = {"self": plain(node, value), "oldSelf": plain(node, old) if has_old else None}
            bindings |= {"oldSelf__": bindings["oldSelf"], "hasOldSelf__": has_old}
        names = _OPTIONAL if optional else _VARIABLES
        if (error := _judge(node, rule, {n: bindings[n] for n in names}, path)) is not None:
            yield error


def _judge(node: Node, rule: Schema, bindings: dict[str, Any], path: str) -> FieldError | None:
    at = f"{path}{_place(rule.get('fieldPath') or '')}".removeprefix(".") or "<nil>"
    shown = node.schema.get("type") or "object"
    try:
        if cel.compile(*source(rule, rule["rule"])).evaluate(bindings) is True:
            return None
    except cel.CompileError as error:
        return fields.invalid(at, shown, f"rule compile error: {error}")
    except cel.EvaluationError as error:
        return fields.invalid(at, shown, f"{error} evaluating rule: {_message(rule)}")
    make = _MAKE[rule.get("reason") or "FieldValueInvalid"]
    return make(at, shown, _computed(rule, bindings) or _message(rule))


def _message(rule: Schema) -> str:
    text: str = (rule.get("message") or "").strip()
    return text or f"failed rule: {rule['rule'].strip()}"


def _computed(rule: Schema, bindings: dict[str, Any]) -> str:
    """The text of messageExpression; "" when there is none or it fails."""
    if not rule.get("messageExpression"):
        return ""
    try:
        text = cel.compile(*source(rule, rule["messageExpression"])).evaluate(bindings)
    except cel.CelError:
        return ""
    return text.strip() if isinstance(text, str) and "\n" not in text else ""


def _place(path: str) -> str:
    """fieldPath (".a['b-c'].d") as field paths are written (".a.b-c.d" for fields)."""
    return re.sub(r"\['([^']*)'\]", r".\1", path)


def plain(node: Node, value: Any) -> Any:
    """A value as rules see it: numbers are doubles, fields have names that CEL can say."""
    if not _special(node):
        return value
    if isinstance(value, dict):
        return {
            escape(key) if key in node.names else key: inner if child is None else plain(child, inner)
            for key, inner, child in ((key, inner, node.child(key)) for key, inner in value.items())
        }
    if isinstance(value, list):
        return [plain(node.items, inner) for inner in value] if node.items is not None else value
    if node.schema.get("type") == "number" and value.__class__ is int:
        return float(value)
    return value


def _special(node: Node) -> bool:
    known: bool | None = node.__dict__.get("is_special")
    if known is None:
        known = node.__dict__["is_special"] = _needs_change(node.schema)
    return known


def _needs_change(schema: Schema) -> bool:
    if schema.get("type") == "number":
        return True
    names = schema.get("properties") or {}
    if any(escape(name) != name for name in names):
        return True
    inner = [*names.values(), schema.get("items"), schema.get("additionalProperties")]
    return any(isinstance(one, Mapping) and _needs_change(one) for one in inner)


def escape(name: str) -> str:
    """A field's name as an identifier of CEL. One that CEL cannot say at all is left as it is."""
    if name in _RESERVED:
        return f"__{name}__"
    for plain_text, escaped in (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")):
        name = name.replace(plain_text, escaped)
    return name
