"""How fast an autoscaler may act: defaults and validation of spec.behavior.

Source: k8s.io/kubernetes/pkg/apis/autoscaling/{v2/defaults.go,validation} (1.32).
"""

from __future__ import annotations

from sampan.api import fields
from sampan.api.meta import Obj, copy
from sampan.api.status import FieldError

_MAX_WINDOW = 3600
_MAX_PERIOD = 1800
# What holds without a behavior: up at once, by 4 pods or 100 % in 15 s; down to anything after 5 quiet minutes.
UP: Obj = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
DOWN: Obj = {
    "stabilizationWindowSeconds": 300,
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}


def default_behavior(behavior: Obj) -> None:
    """Fill both directions, in place. A window for down that is not given stays open: the controller's own counts."""
    for direction, standard in (("scaleUp", UP), ("scaleDown", DOWN)):
        rules = behavior[direction] = behavior.get(direction) or {}
        for key, value in copy(standard).items():
            if not rules.get(key) and (key != "stabilizationWindowSeconds" or direction == "scaleUp"):
                rules[key] = rules.get(key) or value


def rules(spec: Obj, direction: str) -> Obj:
    """The rules in force for `scaleUp` or `scaleDown`."""
    standard = UP if direction == "scaleUp" else DOWN
    given = (spec.get("behavior") or {}).get(direction) or {}
    return standard | {k: v for k, v in given.items() if v is not None}


def validate_behavior(behavior: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for direction in ("scaleUp", "scaleDown"):
        if behavior.get(direction) is not None:
            found += _rules(behavior[direction], f"{path}.{direction}")
    return found


def _rules(given: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    window = given.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        found.append(
            fields.invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
        )
    if window is not None and window > _MAX_WINDOW:
        text = f"must be less than or equal to {_MAX_WINDOW}"
        found.append(fields.invalid(f"{path}.stabilizationWindowSeconds", window, text))
    select = given.get("selectPolicy")
    if select is not None and select not in ("Disabled", "Max", "Min"):
        found.append(fields.not_supported(f"{path}.selectPolicy", select, ("Disabled", "Max", "Min")))
    policies = given.get("policies") or []
    if not policies:
        found.append(fields.required(f"{path}.policies", "must specify at least one Policy"))
    for i, policy in enumerate(policies):
        found += _policy(policy, f"{path}.policies[{i}]")
    return found


def _policy(policy: Obj, path: str) -> list[FieldError]:
    kind, value, period = policy.get("type", ""), policy.get("value", 0), policy.get("periodSeconds", 0)
    found: list[FieldError] = []
    if kind not in ("Percent", "Pods"):
        found.append(fields.not_supported(f"{path}.type", kind, ("Percent", "Pods")))
    if value <= 0:
        found.append(fields.invalid(f"{path}.value", value, "must be greater than zero"))
    if period <= 0:
        found.append(fields.invalid(f"{path}.periodSeconds", period, "must be greater than zero"))
    if period > _MAX_PERIOD:
        found.append(fields.invalid(f"{path}.periodSeconds", period, f"must be less than or equal to {_MAX_PERIOD}"))
    return found
