"""Does a webhook or policy care for a request? Pure.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sampan.api.meta import Obj
from sampan.api.scheme import Resource
from sampan.api.selectors import from_object
from sampan.server.admission import Attributes


def rules_match(
    rules: Iterable[Obj], resource: Resource, subresource: str, operation: str, versions: Iterable[str]
) -> bool:
    """`versions`: those in which the resource counts (all served ones when the match policy is Equivalent)."""
    return any(_rule_matches(rule, resource, subresource, operation, versions) for rule in rules)


def _rule_matches(rule: Obj, resource: Resource, subresource: str, operation: str, versions: Iterable[str]) -> bool:
    scope = rule.get("scope") or "*"
    return (
        _has(rule.get("operations"), (operation,))
        and _has(rule.get("apiGroups"), (resource.group,))
        and _has(rule.get("apiVersions"), versions)
        and any(_resource_matches(each, resource.plural, subresource) for each in rule.get("resources") or ())
        and (scope == "*" or (scope == "Namespaced") == resource.namespaced)
    )


def _has(values: Iterable[str] | None, wanted: Iterable[str]) -> bool:
    listed = values or ()
    return "*" in listed or any(each in listed for each in wanted)


def _resource_matches(pattern: str, plural: str, subresource: str) -> bool:
    """`pods`, `pods/status`, `pods/*`, `*/scale`, `*` (no subresources), `*/*`."""
    want, slash, want_sub = pattern.partition("/")
    if want not in ("*", plural):
        return False
    return want_sub in ("*", subresource) if slash else not subresource


def selectors_match(hook: Obj, request: Attributes) -> bool:
    """namespaceSelector and objectSelector."""
    return _namespace_matches(hook.get("namespaceSelector"), request) and _object_matches(
        hook.get("objectSelector"), request
    )


def _namespace_matches(selector: Obj | None, request: Attributes) -> bool:
    if not selector:
        return True
    if request.resource.id == "namespaces":
        about = request.obj or request.old or {}
    elif request.resource.namespaced:
        about = request.lookup("namespaces", request.namespace, "") or {}
    else:
        return True
    return from_object(selector).matches((about.get("metadata") or {}).get("labels") or {})


def _object_matches(selector: Obj | None, request: Attributes) -> bool:
    if not selector:
        return True
    chosen = from_object(selector)
    return any(
        chosen.matches((each.get("metadata") or {}).get("labels") or {}) for each in (request.obj, request.old) if each
    )


def review_request(request: Attributes, uid: str) -> Obj:
    """The AdmissionRequest, as webhooks are sent it and policies see it in `request`."""
    resource = request.resource
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    if request.subresource and request.obj and request.obj.get("kind", resource.kind) != resource.kind:
        # An Eviction, a Scale, the options of a connection.
        group, _, version = str(request.obj.get("apiVersion", "")).rpartition("/")
        kind = {"group": group, "version": version, "kind": request.obj["kind"]}
    plural = {"group": resource.group, "version": resource.version, "resource": resource.plural}
    options = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}
    found: Obj = {
        "uid": uid,
        "kind": kind,
        "resource": plural,
        "requestKind": kind,
        "requestResource": plural,
        "name": request.name,
        "operation": request.operation,
        "userInfo": request.user.info(),
        "object": _typed(request.obj, resource),
        "oldObject": _typed(request.old, resource),
        "dryRun": request.dry_run,
        "options": {"kind": options.get(request.operation, "ConnectOptions"), "apiVersion": "meta.k8s.io/v1"},
    }
    if request.namespace or resource.id == "namespaces":
        found["namespace"] = request.namespace or request.name
    if request.subresource:
        found["subResource"] = found["requestSubResource"] = request.subresource
    return found


def _typed(obj: Obj | None, resource: Resource) -> Obj | None:
    return None if obj is None else {"apiVersion": resource.api_version, "kind": resource.kind, **obj}


class ConditionFault(Exception):
    """A match condition that cannot be evaluated."""


def conditions_match(conditions: Iterable[Obj], bindings: Mapping[str, Any]) -> bool:
    """All must be true. Raises ConditionFault when one fails and none is false."""
    from sampan.api import cel  # heavy: only where somebody wrote CEL

    faults = []
    for condition in conditions:
        try:
            if cel.compile(condition["expression"], tuple(bindings)).evaluate(bindings) is not True:
                return False
        except cel.CelError as error:
            faults.append(f"match condition {condition['name']!r} failed: {error}")
    if faults:
        raise ConditionFault("; ".join(faults))
    return True
