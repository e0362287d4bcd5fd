"""Validation of a Job's podFailurePolicy, successPolicy and sets of indexes.

Source: k8s.io/kubernetes/pkg/apis/batch/validation (1.32).
"""

from __future__ import annotations

from sampan.api import fields, indexes, validation
from sampan.api.meta import Obj
from sampan.api.status import FieldError

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_RULES = 20
_EXIT_CODES = 255


def validate_failure_policy(spec: Obj, path: str) -> list[FieldError]:
    rules = spec["podFailurePolicy"].get("rules") or []
    if len(rules) > _RULES:
        return [fields.too_many(f"{path}.rules", len(rules), _RULES)]
    pod = (spec.get("template") or {}).get("spec") or {}
    names = {c.get("name") for key in ("containers", "initContainers") for c in pod.get(key) or ()}
    return [e for i, rule in enumerate(rules) for e in _failure_rule(rule, spec, names, f"{path}.rules[{i}]")]


def _failure_rule(rule: Obj, spec: Obj, names: set[str], path: str) -> list[FieldError]:
    action, codes = rule.get("action", ""), rule.get("onExitCodes")
    conditions = rule.get("onPodConditions") or []
    found: list[FieldError] = []
    if not action:
        found.append(fields.required(f"{path}.action", f"valid values: {fields.go(list(_ACTIONS))}"))
    elif action not in _ACTIONS:
        found.append(fields.not_supported(f"{path}.action", action, _ACTIONS))
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        found.append(fields.invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set"))
    if codes is not None:
        found += _exit_codes(codes, names, f"{path}.onExitCodes")
    for i, pattern in enumerate(conditions):
        at = f"{path}.onPodConditions[{i}]"
        found += validation.each(validation.qualified_name, f"{at}.type", pattern.get("type", ""))
        if pattern.get("status") not in ("False", "True", "Unknown"):
            found.append(fields.not_supported(f"{at}.status", pattern.get("status"), ("False", "True", "Unknown")))
    if (codes is None) == (not conditions):
        what = "is required" if codes is None else "is not supported"
        text = f"specifying {'one of' if codes is None else 'both'} OnExitCodes and OnPodConditions {what}"
        found.append(fields.invalid(path, fields.OMIT, text))
    return found


def _exit_codes(codes: Obj, names: set[str], path: str) -> list[FieldError]:
    operator, values, name = codes.get("operator", ""), codes.get("values") or [], codes.get("containerName")
    found: list[FieldError] = []
    if operator not in ("In", "NotIn"):
        found.append(fields.not_supported(f"{path}.operator", operator, ("In", "NotIn")))
    if name is not None and name not in names:
        text = "must be one of the container or initContainer names in the pod template"
        found.append(fields.invalid(f"{path}.containerName", name, text))
    if not values:
        found.append(fields.invalid(f"{path}.values", fields.Raw("[]int32(nil)"), "at least one value is required"))
    if len(values) > _EXIT_CODES:
        found.append(fields.too_many(f"{path}.values", len(values), _EXIT_CODES))
    found += [fields.duplicate(f"{path}.values[{i}]", v) for i, v in enumerate(values) if v in values[:i]]
    if values != sorted(values):
        shown = fields.Raw(f"[]int32{{{', '.join(map(str, values))}}}")
        found.append(fields.invalid(f"{path}.values", shown, "must be ordered"))
    if operator == "In" and 0 in values:
        found.append(fields.invalid(f"{path}.values[{values.index(0)}]", 0, "must not be 0 for the In operator"))
    return found


def validate_success_policy(spec: Obj, path: str) -> list[FieldError]:
    rules = spec["successPolicy"].get("rules") or []
    if spec.get("completionMode") != "Indexed":
        return [fields.invalid(path, fields.OMIT, "requires indexed completion mode")]
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        return [fields.required(f"{path}.rules", text)]
    if len(rules) > _RULES:
        return [fields.too_many(f"{path}.rules", len(rules), _RULES)]
    completions = spec.get("completions") or 0
    return [e for i, rule in enumerate(rules) for e in _success_rule(rule, completions, f"{path}.rules[{i}]")]


def _success_rule(rule: Obj, completions: int, path: str) -> list[FieldError]:
    count, text = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and text is None:
        return [fields.required(path, "at least one of succeededCount or succeededIndexes must be specified")]
    found: list[FieldError] = []
    limit = completions
    if text is not None:
        try:
            limit = len(indexes.parse(text, completions))
        except ValueError as error:
            found.append(fields.invalid(f"{path}.succeededIndexes", text, f"error parsing succeededIndexes: {error}"))
    if count is not None:
        if count <= 0:
            found.append(fields.invalid(f"{path}.succeededCount", count, "must be greater than or equal to 1"))
        elif count > limit and not found:
            what = "the number of the specified completed indexes" if text is not None else "the number of completions"
            text = f"must be less than or equal to {limit} ({what})"
            found.append(fields.invalid(f"{path}.succeededCount", count, text))
    return found
