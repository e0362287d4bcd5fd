"""What Deployment and ReplicaSet share: the cells of their wide tables and their selectors' immutability.

Source: k8s.io/kubernetes/pkg/printers/internalversion, pkg/registry/apps (1.32).
"""

from __future__ import annotations

from sampan.api import fields, validation
from sampan.api.meta import Obj
from sampan.api.scale import selector_text
from sampan.api.scheme import Column
from sampan.api.status import FieldError

WIDE_COLUMNS = (
    Column("Containers", priority=1, description="Names of each container in the template."),
    Column("Images", priority=1, description="Images referenced by each container in the template."),
    Column("Selector", priority=1, description="The labels of the pods it owns."),
)


def wide_cells(workload: Obj) -> list[str]:
    spec = workload["spec"]
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or []
    return [
        ",".join(c["name"] for c in containers),
        ",".join(c["image"] for c in containers),
        selector_text(spec.get("selector")),
    ]


def selector_kept(new: Obj, old: Obj) -> list[FieldError]:
    selector = new["spec"].get("selector")
    shown = fields.go_label_selector(selector)
    return validation.immutable("spec.selector", selector, old["spec"].get("selector"), shown)


def status_counts(new: Obj, keys: tuple[str, ...]) -> list[FieldError]:
    """Counts of a status: none below 0."""
    status = new.get("status") or {}
    return [e for key in keys for e in validation.nonnegative(f"status.{key}", status.get(key) or 0)]
