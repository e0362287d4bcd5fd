"""Validation of what says where a pod may run: tolerations, affinity, spread.

Source: k8s.io/kubernetes/pkg/apis/core/validation (1.32).
"""

from __future__ import annotations

from sampan.api import fields, validation
from sampan.api.meta import Obj
from sampan.api.status import FieldError

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_NOT_AN_OPERATOR = "not a valid selector operator"


def validate_tolerations(tolerations: list[Obj], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for i, toleration in enumerate(tolerations):
        at = f"{path}[{i}]"
        key, operator = toleration.get("key", ""), toleration.get("operator", "")
        value, effect = toleration.get("value", ""), toleration.get("effect", "")
        if key:
            found += validation.each(validation.qualified_name, f"{at}.key", key)
        elif operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            found.append(fields.invalid(f"{at}.operator", operator, text))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            found.append(fields.invalid(f"{at}.effect", effect, text))
        if operator in ("", "Equal"):
            if faults := validation.label_value(value):
                found.append(fields.invalid(f"{at}.operator", value, ";".join(faults)))
        elif operator != "Exists":
            found.append(fields.not_supported(f"{at}.operator", operator, ("Equal", "Exists")))
        elif value:
            found.append(fields.invalid(f"{at}.operator", value, "value must be empty when `operator` is 'Exists'"))
        if effect and effect not in _EFFECTS:
            found.append(fields.not_supported(f"{at}.effect", effect, _EFFECTS))
    return found


def validate_affinity(affinity: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    if node := affinity.get("nodeAffinity"):
        found += _node_affinity(node, f"{path}.nodeAffinity")
    for kind in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(kind) or {}
        for i, term in enumerate(part.get(_REQUIRED) or ()):
            found += _pod_term(term, f"{path}.{kind}.{_REQUIRED}[{i}]")
        for i, weighted in enumerate(part.get(_PREFERRED) or ()):
            at = f"{path}.{kind}.{_PREFERRED}[{i}]"
            found += _weight(weighted, at) + _pod_term(weighted.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm")
    return found


def _weight(term: Obj, path: str) -> list[FieldError]:
    weight = term.get("weight", 0)
    return [] if 1 <= weight <= 100 else [fields.invalid(f"{path}.weight", weight, "must be in the range 1-100")]


def _node_affinity(affinity: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    if (required := affinity.get(_REQUIRED)) is not None:
        at = f"{path}.{_REQUIRED}.nodeSelectorTerms"
        terms = required.get("nodeSelectorTerms") or []
        if not terms:
            found.append(fields.required(at, "must have at least one node selector term"))
        for i, term in enumerate(terms):
            found += _node_term(term, f"{at}[{i}]", strict=True)
    for i, preferred in enumerate(affinity.get(_PREFERRED) or ()):
        at = f"{path}.{_PREFERRED}[{i}]"
        found += _weight(preferred, at)
        found += _node_term(preferred.get("preference") or {}, f"{at}.preference", strict=False)
    return found


def _node_term(term: Obj, path: str, strict: bool) -> list[FieldError]:
    found: list[FieldError] = []
    for i, requirement in enumerate(term.get("matchExpressions") or ()):
        found += _node_requirement(requirement, f"{path}.matchExpressions[{i}]", strict)
    for i, requirement in enumerate(term.get("matchFields") or ()):
        found += _node_field(requirement, f"{path}.matchFields[{i}]")
    return found


def _node_requirement(requirement: Obj, path: str, strict: bool) -> list[FieldError]:
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    found: list[FieldError] = []
    if operator in ("In", "NotIn"):
        if not values:
            found.append(fields.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(fields.forbidden(f"{path}.values", text))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            found.append(fields.required(f"{path}.values", text))
    else:
        found.append(fields.invalid(f"{path}.operator", operator, _NOT_AN_OPERATOR))
    found += validation.each(validation.qualified_name, f"{path}.key", requirement.get("key", ""))
    if strict:
        for i, value in enumerate(values):
            found += validation.each(validation.label_value, f"{path}.values[{i}]", value)
    return found


def _node_field(requirement: Obj, path: str) -> list[FieldError]:
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    found: list[FieldError] = []
    if operator not in ("In", "NotIn"):
        found.append(fields.invalid(f"{path}.operator", operator, _NOT_AN_OPERATOR))
    elif len(values) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        found.append(fields.required(f"{path}.values", text))
    if requirement.get("key") != "metadata.name":
        text = "not a valid field selector key"
        return [*found, fields.invalid(f"{path}.key", requirement.get("key", ""), text)]
    for i, value in enumerate(values):
        found += validation.each(validation.dns_subdomain, f"{path}.values[{i}]", value)
    return found


def _pod_term(term: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for key in ("labelSelector", "namespaceSelector"):
        found += validation.label_selector(f"{path}.{key}", term.get(key))
    for name in term.get("namespaces") or ():
        found += validation.each(validation.dns_label, f"{path}.namespace", name)
    topology = term.get("topologyKey", "")
    if not topology:
        found.append(fields.required(f"{path}.topologyKey", "can not be empty"))
    return found + validation.each(validation.qualified_name, f"{path}.topologyKey", topology)


def validate_spread(constraints: list[Obj], path: str) -> list[FieldError]:
    """spec.topologySpreadConstraints."""
    found: list[FieldError] = []
    for i, constraint in enumerate(constraints):
        at = f"{path}[{i}]"
        found += _spread(constraint, at)
        pair = constraint.get("topologyKey", ""), constraint.get("whenUnsatisfiable", "")
        if pair in [(c.get("topologyKey", ""), c.get("whenUnsatisfiable", "")) for c in constraints[i + 1 :]]:
            found.append(fields.duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{pair[0]}, {pair[1]}}}"))
    return found


def _spread(constraint: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    action = constraint.get("whenUnsatisfiable", "")
    if (skew := constraint.get("maxSkew", 0)) <= 0:
        found.append(fields.invalid(f"{path}.maxSkew", skew, "must be greater than zero"))
    if not constraint.get("topologyKey"):
        found.append(fields.required(f"{path}.topologyKey", "can not be empty"))
    if action not in ("DoNotSchedule", "ScheduleAnyway"):
        found.append(fields.not_supported(f"{path}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway")))
    if (domains := constraint.get("minDomains")) is not None:
        if domains <= 0:
            found.append(fields.invalid(f"{path}.minDomains", domains, "must be greater than zero"))
        if action != "DoNotSchedule":
            text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
            found.append(fields.invalid(f"{path}.minDomains", domains, text))
    for key in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        if (policy := constraint.get(key)) is not None and policy not in ("Honor", "Ignore"):
            found.append(fields.not_supported(f"{path}.{key}", policy, ("Honor", "Ignore")))
    return found + validation.label_selector(f"{path}.labelSelector", constraint.get("labelSelector"))
