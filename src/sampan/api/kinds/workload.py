"""What the kinds with a pod template share: cells of their wide tables, selectors, counts, amounts in percent.

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
    """Containers, images and selector."""
    return [*template_cells(workload["spec"].get("template")), selector_text(workload["spec"].get("selector"))]


def template_cells(template: Obj | None) -> list[str]:
    """Containers and images of a pod template, which may be one that was not validated."""
    containers = ((template or {}).get("spec") or {}).get("containers") or []
    return [",".join(c.get(key, "") for c in containers) for key in ("name", "image")]


def selector_kept(new: Obj, old: Obj) -> list[FieldError]:
    selector = new["spec"].get("selector")
    shown = fields.go_label_selector(selector)
    return validation.immutable("spec.selector", selector, old["spec"].get("selector"), shown)


def status_counts(new: Obj, keys: tuple[str, ...]) -> list[FieldError]:
    """Counts of a status: none below 0."""
    status = new.get("status") or {}
    return [e for key in keys for e in validation.nonnegative(f"status.{key}", status.get(key) or 0)]


def int_or_percent(path: str, value: int | str) -> list[FieldError]:
    if isinstance(value, int):
        return validation.nonnegative(path, value)
    return [fields.invalid(path, go_int_or_string(value), text) for text in validation.percent(value)]


def number(value: int | str) -> int:
    """A percentage without its sign; 0 for text that is none (which is a fault of its own)."""
    if isinstance(value, int):
        return value
    return 0 if validation.percent(value) else int(value.removesuffix("%"))


def go_int_or_string(value: int | str) -> fields.Raw:
    """An IntOrString as Go's %#v shows the struct."""
    kind, number, text = (0, value, "") if isinstance(value, int) else (1, 0, value)
    return fields.Raw(f"intstr.IntOrString{{Type:{kind}, IntVal:{number}, StrVal:{fields.quote(text)}}}")
