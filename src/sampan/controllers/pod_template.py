"""Pods from a workload's template. Pure."""

from __future__ import annotations

from sampan.api import meta
from sampan.api.meta import Obj


def pod_from_template(owner: Obj, template: Obj) -> Obj:
    """The pod a template describes, owned by `owner` and to be named by the server."""
    described = template.get("metadata") or {}
    metadata = {k: described[k] for k in ("labels", "annotations", "finalizers") if described.get(k)}
    metadata |= {
        "generateName": f"{meta.name(owner)}-",
        "namespace": meta.namespace(owner),
        "ownerReferences": [meta.owner_reference(owner)],
    }
    return meta.copy({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
