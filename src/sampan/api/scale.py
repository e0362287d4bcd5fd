"""The scale subresource: a workload's replica count as an autoscaling/v1 Scale.

Source: k8s.io/api/autoscaling/v1, k8s.io/kubernetes/pkg/registry/apps/deployment/storage (1.32).
"""

from __future__ import annotations

from sampan.api import meta, validation
from sampan.api.meta import Obj
from sampan.api.status import conflict, invalid

_SHARED = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def to_scale(workload: Obj) -> Obj:
    """The Scale of a Deployment or ReplicaSet."""
    metadata = workload["metadata"]
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in _SHARED if key in metadata},
        "spec": {"replicas": workload["spec"].get("replicas", 0)},
        "status": {
            "replicas": (workload.get("status") or {}).get("replicas", 0),
            "selector": selector_text(workload["spec"].get("selector"), nothing=""),
        },
    }


def apply_scale(workload: Obj, scale: Obj) -> Obj:
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
    new["spec"]["replicas"] = replicas
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
