"""PodTemplate (core/v1): a pod's description that is kept for later.

Source: k8s.io/kubernetes/pkg/apis/core/validation, pkg/registry/core/podtemplate (1.32).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import meta, objectmeta
from sampan.api.kinds.podspec_defaults import default_pod_template
from sampan.api.kinds.podspec_validation import validate_pod_template
from sampan.api.kinds.workload import template_cells
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import NAME


def _default(obj: Obj) -> None:
    default_pod_template(obj.setdefault("template", {}))


def _validate(obj: Obj) -> list[FieldError]:
    return objectmeta.validate(obj["metadata"], namespaced=True) + validate_pod_template(obj["template"], "template")


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    return found + validate_pod_template(new["template"], "template")


def _row(obj: Obj, now: datetime) -> list[Any]:
    template = obj.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    shown = ",".join(f"{key}={labels[key]}" for key in sorted(labels)) or "<none>"
    return [meta.name(obj), *template_cells(template), shown]


RESOURCE = Resource(
    group="",
    version="v1",
    kind="PodTemplate",
    plural="podtemplates",
    definition="io.k8s.api.core.v1.PodTemplate",
    singular="podtemplate",
    generation=True,
    strategy=Strategy(
        columns=(
            NAME,
            Column("Containers", description="Names of each container in the template."),
            Column("Images", description="Images referenced by each container in the template."),
            Column("Pod Labels", description="The labels of the pods made from it."),
        ),
        row=_row,
        default=_default,
        validate=_validate,
        validate_update=_validate_update,
    ),
)
