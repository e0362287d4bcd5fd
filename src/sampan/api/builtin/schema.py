"""A builder of CustomResourceDefinitions: structural OpenAPI v3 schemas as plain functions.

    SPEC = s.object(
        {
            "host": s.string(pattern=s.HOST, most=253),
            "ports": s.array(s.integer(least=1, most=65535), most=16, list_type="set"),
            "mode": s.string(enum=("Fast", "Safe"), default="Fast", about="How it sails."),
            "labels": s.map_of(s.string()),
        },
        required=("host",),
        rules=(s.rule("self.mode != 'Safe' || has(self.ports)", "a safe boat needs ports"),),
    )
    STATUS = s.object({"conditions": s.CONDITIONS})

    def definitions() -> tuple[Obj, ...]:
        version = s.version("v1", s.root(SPEC, STATUS), columns=(s.column("Host", ".spec.host"), s.AGE))
        return (s.definition("example.com", "Boat", "boats", version, short=("bt",)),)

Every function returns a new dict; parts may be shared, nobody changes them. `about` is the text of `kubectl explain`.
What a function has no word for goes in by `| {"title": …}`.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sampan.api.meta import Obj

_NAMES = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
# A DNS name; one that may begin with "*."; a label.
HOST = rf"^{_NAMES}(\.{_NAMES})*$"
WILD_HOST = rf"^(\*\.)?{_NAMES}(\.{_NAMES})*$"
LABEL = f"^{_NAMES}$"


# -- values


def _schema(kind: str, limits: Obj, default: Any, rules: Sequence[Obj], about: str) -> Obj:
    found: Obj = {"description": about, "type": kind, **limits, "x-kubernetes-validations": list(rules)}
    # A limit of 0 says something, an empty one does not.
    said = {k: v for k, v in found.items() if v or (v == 0 and v is not False and v.__class__ in (int, float))}
    return said if default is None else said | {"default": default}


def string(
    *,
    enum: Sequence[str] = (),
    pattern: str = "",
    least: int | None = None,
    most: int | None = None,
    format: str = "",
    default: str | None = None,
    rules: Sequence[Obj] = (),
    about: str = "",
) -> Obj:
    """`least`, `most`: characters. `format`: date-time, byte, …"""
    limits = {"enum": list(enum), "pattern": pattern, "minLength": least, "maxLength": most, "format": format}
    return _schema("string", limits, default, rules, about)


def integer(
    *,
    least: int | None = None,
    most: int | None = None,
    format: str = "",
    default: int | None = None,
    rules: Sequence[Obj] = (),
    about: str = "",
) -> Obj:
    """`format`: int32 or int64."""
    return _schema("integer", {"minimum": least, "maximum": most, "format": format}, default, rules, about)


def number(*, least: float | None = None, most: float | None = None, about: str = "") -> Obj:
    return _schema("number", {"minimum": least, "maximum": most}, None, (), about)


def boolean(*, default: bool | None = None, about: str = "") -> Obj:
    return _schema("boolean", {}, default, (), about)


def array(
    items: Obj,
    *,
    least: int | None = None,
    most: int | None = None,
    list_type: str = "",
    keys: Sequence[str] = (),
    default: list[Any] | None = None,
    rules: Sequence[Obj] = (),
    about: str = "",
) -> Obj:
    """`keys` tell the elements apart: a map list. `list_type`: set, or atomic where somebody insists on it."""
    limits = {
        "items": items,
        "minItems": least,
        "maxItems": most,
        "x-kubernetes-list-type": "map" if keys else list_type,
        "x-kubernetes-list-map-keys": list(keys),
    }
    return _schema("array", limits, default, rules, about)


def object(
    properties: Mapping[str, Obj],
    *,
    required: Sequence[str] = (),
    least: int | None = None,
    most: int | None = None,
    open: bool = False,
    atomic: bool = False,
    default: Obj | None = None,
    rules: Sequence[Obj] = (),
    about: str = "",
) -> Obj:
    """`open`: other fields than these are kept too. `least`, `most`: how many fields."""
    limits = {
        "properties": dict(properties),
        "required": list(required),
        "minProperties": least,
        "maxProperties": most,
        "x-kubernetes-preserve-unknown-fields": open,
        "x-kubernetes-map-type": "atomic" if atomic else "",
    }
    return _schema("object", limits, default, rules, about)


def map_of(
    values: Obj, *, least: int | None = None, most: int | None = None, rules: Sequence[Obj] = (), about: str = ""
) -> Obj:
    """Any keys, values of one sort."""
    limits = {"additionalProperties": values, "minProperties": least, "maxProperties": most}
    return _schema("object", limits, None, rules, about)


def int_or_string(*, pattern: str = "", rules: Sequence[Obj] = (), about: str = "") -> Obj:
    limits = {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": True,
        "pattern": pattern,
    }
    return _schema("", limits, None, rules, about)


def anything(*, about: str = "") -> Obj:
    """Any JSON at all."""
    return _schema("", {"x-kubernetes-preserve-unknown-fields": True}, None, (), about)


def struct(*, about: str = "") -> Obj:
    """An object with any fields."""
    return object({}, open=True, about=about)


def rule(expression: str, message: str = "", *, reason: str = "", path: str = "", computed: str = "") -> Obj:
    """A CEL rule. `computed`: an expression that gives the message; `path`: the field at fault."""
    found = {"rule": expression, "message": message, "reason": reason, "fieldPath": path, "messageExpression": computed}
    return {k: v for k, v in found.items() if v}


# -- what many kinds have

TIME = string(format="date-time")
CONDITION = object(
    {
        "type": string(most=316),
        "status": string(enum=("True", "False", "Unknown")),
        "observedGeneration": integer(format="int64", least=0),
        "lastTransitionTime": TIME,
        "reason": string(least=1, most=1024, pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
        "message": string(most=32768),
    },
    required=("type", "status", "lastTransitionTime", "reason", "message"),
)
CONDITIONS = array(CONDITION, keys=("type",), most=8)
# metav1.LabelSelector
SELECTOR = object(
    {
        "matchLabels": map_of(string()),
        "matchExpressions": array(
            object(
                {"key": string(), "operator": string(), "values": array(string(), list_type="atomic")},
                required=("key", "operator"),
            ),
            list_type="atomic",
        ),
    },
    atomic=True,
)


# -- definitions


def root(spec: Obj, status: Obj | None = None, *, required: Sequence[str] = ("spec",), about: str = "") -> Obj:
    """The schema of a whole object."""
    return object({"spec": spec} | ({"status": status} if status else {}), required=required, about=about)


def column(name: str, path: str, kind: str = "string", *, wide: bool = False, about: str = "") -> Obj:
    """A printer column; a `wide` one needs -o wide."""
    found: Obj = {"name": name, "type": kind, "jsonPath": path}
    return found | ({"description": about} if about else {}) | ({"priority": 1} if wide else {})


AGE = column("Age", ".metadata.creationTimestamp", "date")


def version(
    name: str,
    schema: Obj,
    *,
    columns: Sequence[Obj] = (),
    served: bool = True,
    storage: bool = True,
    status: bool = True,
    scale: Obj | None = None,
    deprecated: bool | str = False,
    selectable: Sequence[str] = (),
) -> Obj:
    """`status`: is it a subresource? `deprecated`: True, or the warning. `selectable`: paths for field selectors."""
    parts: Obj = ({"status": {}} if status else {}) | ({"scale": scale} if scale else {})
    found = {
        "name": name,
        "served": served,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema},
        "subresources": parts,
        "additionalPrinterColumns": list(columns),
        "deprecated": bool(deprecated),
        "deprecationWarning": deprecated if isinstance(deprecated, str) else "",
        "selectableFields": [{"jsonPath": path} for path in selectable],
    }
    return {k: v for k, v in found.items() if v or k in ("served", "storage")}


def definition(
    group: str,
    kind: str,
    plural: str,
    *versions: Obj,
    scope: str = "Namespaced",
    short: Sequence[str] = (),
    categories: Sequence[str] = (),
    annotations: Mapping[str, str] | None = None,
) -> Obj:
    """`scope`: or Cluster. `annotations`: groups of k8s.io need api-approved.kubernetes.io."""
    names: Obj = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    names |= {k: list(v) for k, v in (("shortNames", short), ("categories", categories)) if v}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"} | ({"annotations": dict(annotations)} if annotations else {}),
        "spec": {"group": group, "names": names, "scope": scope, "versions": list(versions)},
    }
