"""ValidatingAdmissionPolicy and MutatingAdmissionPolicy with their bindings (admissionregistration.k8s.io).

Source: kubernetes/pkg/apis/admissionregistration/validation/validation.go, pkg/printers/internalversion (1.32)
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.kinds.webhookconfiguration import GROUP, match_conditions, rule
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

# What expressions may speak of; match conditions know no `variables`.
NAMES = ("object", "oldObject", "request", "params", "namespaceObject", "variables")
CONDITION_NAMES = NAMES[:-1]
_ACTIONS = ("Audit", "Deny", "Warn")
_PATCHES = ("ApplyConfiguration", "JSONPatch")
_UNSET = "<unset>"
Check = Callable[[Obj], list[FieldError]]


def _expression(path: str, text: str, names: tuple[str, ...] = NAMES) -> list[FieldError]:
    from sampan.api import cel  # heavy: only where somebody wrote CEL

    if not (text or "").strip():
        return [fields.required(path, "expression is not specified")]
    try:
        cel.compile(text, names)
    except cel.CelError as error:
        return [fields.invalid(path, text, str(error))]
    return []


def _match(resources: Obj, path: str, needed: bool) -> list[FieldError]:
    found: list[FieldError] = []
    if needed and not resources.get("resourceRules"):
        found.append(fields.required(f"{path}.resourceRules"))
    for field in ("resourceRules", "excludeResourceRules"):
        for i, each in enumerate(resources.get(field) or ()):
            found += rule(each, f"{path}.{field}[{i}]")
    for field in ("namespaceSelector", "objectSelector"):
        found += validation.label_selector(f"{path}.{field}", resources.get(field))
    return found


def _policy(spec: Obj) -> list[FieldError]:
    """What both kinds of policy have."""
    found = _match(spec.get("matchConstraints") or {}, "spec.matchConstraints", needed=True)
    conditions = spec.get("matchConditions") or []
    found += match_conditions(conditions, "spec.matchConditions")
    for i, each in enumerate(conditions):
        found += _expression(f"spec.matchConditions[{i}].expression", each.get("expression", ""), CONDITION_NAMES)
    for i, each in enumerate(spec.get("variables") or ()):
        found += _expression(f"spec.variables[{i}].expression", each.get("expression", ""))
    kind = spec.get("paramKind")
    if kind is not None:
        found += [fields.required(f"spec.paramKind.{key}") for key in ("apiVersion", "kind") if not kind.get(key)]
    return found


def _validating(obj: Obj) -> list[FieldError]:
    spec = obj.get("spec") or {}
    found = _policy(spec)
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        text = "validations or auditAnnotations must contain at least one item"
        found += [fields.required("spec.validations", text), fields.required("spec.auditAnnotations", text)]
    for i, each in enumerate(spec.get("validations") or ()):
        at = f"spec.validations[{i}]"
        found += _expression(f"{at}.expression", each.get("expression", ""))
        if each.get("messageExpression"):
            found += _expression(f"{at}.messageExpression", each["messageExpression"])
        if "\n" in (each.get("message") or ""):
            found.append(fields.invalid(f"{at}.message", each["message"], "message must not contain line breaks"))
    for i, each in enumerate(spec.get("auditAnnotations") or ()):
        found += _expression(f"spec.auditAnnotations[{i}].valueExpression", each.get("valueExpression", ""))
    return found


def _mutating(obj: Obj) -> list[FieldError]:
    spec = obj.get("spec") or {}
    found = _policy(spec)
    if not spec.get("mutations"):
        found.append(fields.required("spec.mutations", "mutations must contain at least one item"))
    for i, each in enumerate(spec.get("mutations") or ()):
        found += validation.one_of(f"spec.mutations[{i}].patchType", each.get("patchType"), _PATCHES)
    return found


def _binding(obj: Obj) -> list[FieldError]:
    spec = obj.get("spec") or {}
    found = [] if spec.get("policyName") else [fields.required("spec.policyName")]
    if (reference := spec.get("paramRef")) is not None:
        if bool(reference.get("name")) == bool(reference.get("selector") is not None):
            text = "one of name or selector must be specified"
            found.append(fields.required("spec.paramRef", text))
        action = reference.get("parameterNotFoundAction")
        found += validation.one_of("spec.paramRef.parameterNotFoundAction", action, ("Allow", "Deny"))
    return found + _match(spec.get("matchResources") or {}, "spec.matchResources", needed=False)


def _validating_binding(obj: Obj) -> list[FieldError]:
    actions = (obj.get("spec") or {}).get("validationActions") or ()
    found = _binding(obj)
    if not actions:
        found.append(fields.required("spec.validationActions", "at least one validation action is required"))
    for i, action in enumerate(actions):
        found += validation.one_of(f"spec.validationActions[{i}]", action, _ACTIONS)
    if {"Deny", "Warn"} <= set(actions):
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)"
        )
        found.append(fields.invalid("spec.validationActions", list(actions), text))
    return found


def _default(obj: Obj) -> None:
    spec = obj.get("spec") or {}
    if "policyName" not in spec:
        spec.setdefault("failurePolicy", "Fail")
    for field in ("matchConstraints", "matchResources"):
        if isinstance(resources := spec.get(field), dict):
            resources.setdefault("matchPolicy", "Equivalent")
            resources.setdefault("namespaceSelector", {})
            resources.setdefault("objectSelector", {})
            for group in ("resourceRules", "excludeResourceRules"):
                for each in resources.get(group) or ():
                    each.setdefault("scope", "*")


def _param_kind(obj: Obj) -> str:
    kind = (obj.get("spec") or {}).get("paramKind")
    return f"{kind.get('apiVersion')}/{kind.get('kind')}" if kind else _UNSET


def _param_ref(obj: Obj) -> str:
    reference = (obj.get("spec") or {}).get("paramRef") or {}
    if name := reference.get("name"):
        return f"{reference['namespace']}/{name}" if reference.get("namespace") else str(name)
    return _UNSET


def _policy_row(count: str) -> Callable[[Obj, datetime], list[Any]]:
    return lambda obj, now: [
        meta.name(obj),
        len((obj.get("spec") or {}).get(count) or ()),
        _param_kind(obj),
        age(obj, now),
    ]


def _binding_row(obj: Obj, now: datetime) -> list[Any]:
    return [meta.name(obj), (obj.get("spec") or {}).get("policyName", ""), _param_ref(obj), age(obj, now)]


def _resource(
    kind: str, version: str, check: Check, columns: tuple[Column, ...], row: Callable[[Obj, datetime], list[Any]]
) -> Resource:
    plural = f"{kind.lower()}s" if kind.endswith("Binding") else f"{kind.lower()[:-1]}ies"
    return Resource(
        group=GROUP,
        version=version,
        kind=kind,
        plural=plural,
        definition=f"io.k8s.api.admissionregistration.{version}.{kind}",
        singular=kind.lower(),
        categories=("api-extensions",),
        namespaced=False,
        generation=True,
        subresources=("status",) if kind == "ValidatingAdmissionPolicy" else (),
        strategy=Strategy(
            columns=(NAME, *columns, AGE),
            row=row,
            default=_default,
            validate=lambda obj: objectmeta.validate(obj["metadata"], namespaced=False) + check(obj),
            validate_update=lambda new, old: objectmeta.validate_update(new["metadata"], old["metadata"]) + check(new),
        ),
    )


_PARAM = Column("ParamKind", description="ParamKind specifies the kind of resources used to parameterize this policy")
_BOUND = (
    Column("PolicyName", description="PolicyName indicates the policy definition which the policy binding binded to"),
    Column("ParamRef", description="ParamRef indicates the param resource which sets the configration param"),
)
VALIDATING = _resource(
    "ValidatingAdmissionPolicy",
    "v1",
    _validating,
    (Column("Validations", "integer", description="Validations indicates the number of validation rules"), _PARAM),
    _policy_row("validations"),
)
VALIDATING_BINDING = _resource("ValidatingAdmissionPolicyBinding", "v1", _validating_binding, _BOUND, _binding_row)
MUTATING = _resource(
    "MutatingAdmissionPolicy",
    "v1alpha1",
    _mutating,
    (Column("Mutations", "integer", description="Mutations indicates the number of mutation rules"), _PARAM),
    _policy_row("mutations"),
)
MUTATING_BINDING = _resource("MutatingAdmissionPolicyBinding", "v1alpha1", _binding, _BOUND, _binding_row)
