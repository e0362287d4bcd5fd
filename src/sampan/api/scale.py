"""The scale subresource: a workload's replica count as an autoscaling/v1 Scale.

Source: k8s.io/api/autoscaling/v1, k8s.io/kubernetes/pkg/registry/apps/deployment/storage (1.32).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sampan.api import meta, validation
from sampan.api.meta import Obj
from sampan.api.status import conflict, internal, invalid

_SHARED = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class Paths(NamedTuple):
    """Where a custom resource keeps its counts (".spec.replicas") and its selector, a string ("" for none)."""

    replicas: str
    status_replicas: str
    selector: str


def to_scale(workload: Obj, paths: Paths | None = None) -> Obj:
    """The Scale of a workload that has spec.replicas, or of a custom resource. Raises ApiError 500 without a count."""
    if paths is not None:
        return _custom_scale(workload, paths)
    metadata = workload["metadata"]
    selector = workload["spec"].get("selector")
    if workload["kind"] == "ReplicationController":
        selector = {"matchLabels": selector}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in _SHARED if key in metadata},
        "spec": {"replicas": workload["spec"].get("replicas", 0)},
        "status": {
            "replicas": (workload.get("status") or {}).get("replicas", 0),
            "selector": selector_text(selector, nothing=""),
        },
    }


def _custom_scale(obj: Obj, paths: Paths) -> Obj:
    replicas = _at(obj, paths.replicas)
    if replicas is None:
        raise internal(f'the spec replicas field "{paths.replicas}" does not exist')
    status: Obj = {"replicas": _at(obj, paths.status_replicas) or 0}
    if paths.selector:
        status["selector"] = _at(obj, paths.selector) or ""
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in _SHARED if key in obj["metadata"]},
        "spec": {"replicas": replicas},
        "status": status,
    }


def _at(obj: Obj, path: str) -> Any:
    value: Any = obj
    for name in path.strip(".").split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _set(obj: Obj, path: str, value: Any) -> None:
    *outer, last = path.strip(".").split(".")
    for name in outer:
        obj = obj.setdefault(name, {})
    obj[last] = value


def apply_scale(workload: Obj, scale: Obj, paths: Paths | None = None) -> Obj:
    """A copy of the workload with the Scale's count.

    Raises ApiError 422 for a count below 0, 409 when the Scale is of another object with this name.
    """
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if errors := validation.nonnegative("spec.replicas", replicas):
        raise invalid("autoscaling", "Scale", meta.name(workload), errors)
    given, uid = scale.get("metadata") or {}, meta.uid(workload)
    if given.get("uid") and given["uid"] != uid:
        why = f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta: {uid}"
        raise conflict(workload["kind"], meta.name(workload), why)
    new = meta.copy(workload)
    _set(new, paths.replicas if paths else ".spec.replicas", replicas)
    if given.get("resourceVersion"):
        new["metadata"]["resourceVersion"] = given["resourceVersion"]
    return new


def selector_text(selector: Obj | None, nothing: str = "<none>") -> str:
    """A LabelSelector as clients write it (app=web,tier in (a,b),!old), ordered by key; `nothing` when it is empty."""
    parts = [(key, f"{key}={value}") for key, value in ((selector or {}).get("matchLabels") or {}).items()]
    for expression in (selector or {}).get("matchExpressions") or ():
        key, values = expression["key"], ",".join(sorted(expression.get("values") or ()))
        forms = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "DoesNotExist": f"!{key}"}
        parts.append((key, forms.get(expression["operator"], key)))
    return ",".join(text for _, text in sorted(parts, key=lambda part: part[0])) or nothing
