"""APIService (apiregistration.k8s.io/v1): which server answers for a group and version. Here it is always this one.

Source: k8s.io/kube-aggregator/pkg/apis/apiregistration
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"
# (groupPriorityMinimum, versionPriority) of Kubernetes' own groups; custom resources have the last.
_PRIORITY = {
    "": (18000, 1),
    "apps": (17800, 15),
    "events.k8s.io": (17750, 5),
    "authentication.k8s.io": (17700, 15),
    "authorization.k8s.io": (17600, 15),
    "autoscaling": (17500, 15),
    "batch": (17400, 15),
    "certificates.k8s.io": (17300, 15),
    "networking.k8s.io": (17200, 15),
    "policy": (17100, 15),
    "rbac.authorization.k8s.io": (17000, 15),
    "storage.k8s.io": (16800, 15),
    "apiextensions.k8s.io": (16700, 15),
    "admissionregistration.k8s.io": (16700, 15),
    "scheduling.k8s.io": (16600, 15),
    "coordination.k8s.io": (16500, 15),
    "node.k8s.io": (16300, 15),
    "discovery.k8s.io": (16200, 15),
    "flowcontrol.apiserver.k8s.io": (16100, 21),
}
_CUSTOM = (1000, 100)


def local(group: str, version: str, now: str) -> Obj:
    """The APIService of a group and version that this server answers for itself."""
    minimum, priority = _PRIORITY.get(group, _CUSTOM)
    spec: Obj = {"group": group} if group else {}
    return {
        "metadata": {
            "name": f"{version}.{group}",
            "labels": {AUTOMANAGED: "true" if group not in _PRIORITY else "onstart"},
        },
        "spec": {**spec, "version": version, "groupPriorityMinimum": minimum, "versionPriority": priority},
        "status": {
            "conditions": [
                {
                    "type": "Available",
                    "status": "True",
                    "lastTransitionTime": now,
                    "reason": "Local",
                    "message": "Local APIServices are always available",
                }
            ]
        },
    }


def _validate(obj: Obj) -> list[FieldError]:
    spec = obj.get("spec") or {}
    wanted = f"{spec.get('version', '')}.{spec.get('group', '')}"
    # The core group's ends with a dot, which no other name may.
    checked = {**obj["metadata"], "name": meta.name(obj).removesuffix(".")}
    found = objectmeta.validate(checked, namespaced=False)
    if meta.name(obj) != wanted:
        text = f'must be `spec.version+"."+spec.group`: "{wanted}"'
        found.append(fields.invalid("metadata.name", meta.name(obj), text))
    if spec.get("service") is not None:
        found.append(
            fields.forbidden("spec.service", "sampan answers all API groups itself; use a CustomResourceDefinition")
        )
    return found


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"]) + _validate(new)


def _row(obj: Obj, now: datetime) -> list[Any]:
    available = meta.condition(obj, "Available") or {}
    status = available.get("status", "Unknown")
    shown = status if status == "True" else f"{status} ({available.get('reason', '')})"
    return [meta.name(obj), "Local", shown, age(obj, now)]


RESOURCE = Resource(
    group="apiregistration.k8s.io",
    version="v1",
    kind="APIService",
    plural="apiservices",
    definition="io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    singular="apiservice",
    categories=("api-extensions",),
    namespaced=False,
    subresources=("status",),
    strategy=Strategy(
        columns=(NAME, Column("Service"), Column("Available"), AGE),
        row=_row,
        validate=_validate,
        validate_update=_validate_update,
    ),
)
