"""ReplicationController (core/v1): the older form of a ReplicaSet. Its selector is a plain map of labels.

Source: k8s.io/kubernetes/pkg/apis/core/{v1/defaults.go,validation}, pkg/registry/core/replicationcontroller (1.32).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, selectors, validation
from sampan.api.kinds import replicaset
from sampan.api.kinds.pod_warnings import template_warnings
from sampan.api.kinds.podspec_defaults import default_pod_template
from sampan.api.kinds.podspec_validation import template_matches, validate_long_running
from sampan.api.meta import Obj
from sampan.api.scheme import Resource, Strategy
from sampan.api.status import FieldError


def _default(controller: Obj) -> None:
    spec = controller.setdefault("spec", {})
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        if not meta.labels(controller):
            controller["metadata"]["labels"] = dict(labels)
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    if spec.get("template"):
        default_pod_template(spec["template"])


def _validate(controller: Obj) -> list[FieldError]:
    return objectmeta.validate(controller["metadata"], namespaced=True) + _spec(controller["spec"])


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"]) + _spec(new["spec"])


def _spec(spec: Obj) -> list[FieldError]:
    found = validation.nonnegative("spec.minReadySeconds", spec.get("minReadySeconds") or 0)
    if not spec.get("selector"):
        found.append(fields.required("spec.selector"))
    found += validation.nonnegative("spec.replicas", spec["replicas"])
    template = spec.get("template")
    if not template:
        return [*found, fields.required("spec.template")]
    found += template_matches(selectors.from_map(spec.get("selector")), template)
    return found + validate_long_running(template, "ReplicationController")


def _row(controller: Obj, now: datetime) -> list[Any]:
    *cells, _ = replicaset.RESOURCE.strategy.row(controller, now)
    labels = controller["spec"].get("selector") or {}
    return [*cells, ",".join(f"{key}={labels[key]}" for key in sorted(labels))]


RESOURCE = Resource(
    group="",
    version="v1",
    kind="ReplicationController",
    plural="replicationcontrollers",
    definition="io.k8s.api.core.v1.ReplicationController",
    singular="replicationcontroller",
    short=("rc",),
    categories=("all",),
    subresources=("scale", "status"),
    fields=replicaset.RESOURCE.fields,
    generation=True,
    strategy=Strategy(
        columns=replicaset.RESOURCE.strategy.columns,
        row=_row,
        default=_default,
        prepare_create=replicaset.RESOURCE.strategy.prepare_create,
        validate=_validate,
        validate_update=_validate_update,
        validate_status=replicaset.RESOURCE.strategy.validate_status,
        warnings=template_warnings,
        orphans=True,
    ),
)
