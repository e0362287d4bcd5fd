"""Role and ClusterRole (rbac.authorization.k8s.io/v1).

Source: kubernetes/pkg/apis/rbac/validation/validation.go (1.32)
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, validation
from sampan.api.meta import Obj
from sampan.api.rbac import GROUP
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import NAME

_MIXED = "rules cannot apply to both regular resources and non-resource URLs"


def segment(name: str) -> list[str]:
    """RBAC objects may be called whatever fits into a URL's path (`system:node`)."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{c}'" for c in "/%" if c in name]


def _rule(rule: Obj, path: str, namespaced: bool) -> list[FieldError]:
    found: list[FieldError] = []
    if not rule.get("verbs"):
        found.append(fields.required(f"{path}.verbs", "verbs must contain at least one value"))
    if urls := rule.get("nonResourceURLs"):
        at = f"{path}.nonResourceURLs"
        if namespaced:
            found.append(fields.invalid(at, urls, "namespaced rules cannot apply to non-resource URLs"))
        if any(rule.get(field) for field in ("apiGroups", "resources", "resourceNames")):
            found.append(fields.invalid(at, urls, _MIXED))
        return found
    if not rule.get("apiGroups"):
        found.append(fields.required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        found.append(fields.required(f"{path}.resources", "resource rules must supply at least one resource"))
    return found


def _content(obj: Obj, namespaced: bool) -> list[FieldError]:
    found = [e for i, r in enumerate(obj.get("rules") or ()) for e in _rule(r, f"rules[{i}]", namespaced)]
    aggregation = obj.get("aggregationRule")
    if aggregation is None:
        return found
    at, selectors = "aggregationRule.clusterRoleSelectors", aggregation.get("clusterRoleSelectors") or ()
    if not selectors:
        found.append(fields.required(at, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
    for i, selector in enumerate(selectors):
        found += validation.label_selector(f"{at}[{i}]", selector)
    return found


def _default(obj: Obj) -> None:
    obj.setdefault("rules", None)


def _validate(namespaced: bool) -> Callable[[Obj], list[FieldError]]:
    return lambda obj: objectmeta.validate(obj["metadata"], namespaced, segment) + _content(obj, namespaced)


def _validate_update(namespaced: bool) -> Callable[[Obj, Obj], list[FieldError]]:
    return lambda new, old: objectmeta.validate_update(new["metadata"], old["metadata"]) + _content(new, namespaced)


def _row(obj: Obj, now: datetime) -> list[Any]:
    return [meta.name(obj), obj["metadata"].get("creationTimestamp")]


def _resource(kind: str, namespaced: bool) -> Resource:
    return Resource(
        group=GROUP,
        version="v1",
        kind=kind,
        plural=f"{kind.lower()}s",
        definition=f"io.k8s.api.rbac.v1.{kind}",
        singular=kind.lower(),
        namespaced=namespaced,
        strategy=Strategy(
            columns=(NAME, Column("Created At", "date", description="When it was made")),
            row=_row,
            default=_default,
            validate=_validate(namespaced),
            validate_update=_validate_update(namespaced),
        ),
    )


ROLE = _resource("Role", namespaced=True)
CLUSTER_ROLE = _resource("ClusterRole", namespaced=False)
