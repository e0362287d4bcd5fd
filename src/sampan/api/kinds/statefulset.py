"""StatefulSet (apps/v1).

Source: k8s.io/kubernetes/pkg/apis/apps/{v1/defaults.go,validation}, pkg/registry/apps/statefulset (1.32).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, selectors, validation
from sampan.api.kinds import workload
from sampan.api.kinds.pod_warnings import template_warnings
from sampan.api.kinds.podspec_defaults import default_pod_template
from sampan.api.kinds.podspec_validation import template_matches
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

_COUNTS = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
_POLICIES = ("OrderedReady", "Parallel")
_STRATEGIES = ("RollingUpdate", "OnDelete")
_RETENTION = "persistentVolumeClaimRetentionPolicy"
_MUTABLE = ("replicas", "ordinals", "template", "updateStrategy", _RETENTION, "minReadySeconds")


def _default(stateful_set: Obj) -> None:
    spec = stateful_set.setdefault("spec", {})
    for key, value in (("podManagementPolicy", "OrderedReady"), ("replicas", 1), ("revisionHistoryLimit", 10)):
        if spec.get(key) is None:
            spec[key] = value
    strategy = spec["updateStrategy"] = spec.get("updateStrategy") or {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
        if rolling.get("partition") is None:
            rolling["partition"] = 0
    retention = spec[_RETENTION] = spec.get(_RETENTION) or {}
    for key in ("whenDeleted", "whenScaled"):
        if not retention.get(key):
            retention[key] = "Retain"
    default_pod_template(spec.setdefault("template", {}))
    for claim in spec.get("volumeClaimTemplates") or ():
        _default_claim(claim)


def _default_claim(claim: Obj) -> None:
    """A claim in a template is a whole object, and shown as one."""
    claim["apiVersion"], claim["kind"] = "v1", "PersistentVolumeClaim"
    claim.setdefault("metadata", {})
    if not claim.setdefault("spec", {}).get("volumeMode"):
        claim["spec"]["volumeMode"] = "Filesystem"
    if not claim.setdefault("status", {}).get("phase"):
        claim["status"]["phase"] = "Pending"


def _prepare_create(stateful_set: Obj) -> None:
    stateful_set["status"] = {"replicas": 0, "availableReplicas": 0}


def _validate(stateful_set: Obj) -> list[FieldError]:
    return objectmeta.validate(stateful_set["metadata"], namespaced=True) + _spec(stateful_set["spec"])


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"]) + _spec(new["spec"])
    keys = (new["spec"].keys() | old["spec"].keys()) - set(_MUTABLE)
    if any(new["spec"].get(key) != old["spec"].get(key) for key in keys):
        listed = ", ".join(f"'{key}'" for key in _MUTABLE[:-1])
        text = f"updates to statefulset spec for fields other than {listed} and '{_MUTABLE[-1]}' are forbidden"
        found.append(fields.forbidden("spec", text))
    return found


def _spec(spec: Obj) -> list[FieldError]:
    found: list[FieldError] = []
    policy = spec["podManagementPolicy"]
    if policy not in _POLICIES:
        text = "must be 'OrderedReady' or 'Parallel'"
        found.append(fields.invalid("spec.podManagementPolicy", policy, text))
    found += _strategy(spec["updateStrategy"])
    for key, value in spec[_RETENTION].items():
        if value not in ("Retain", "Delete"):
            found.append(fields.not_supported(f"spec.{_RETENTION}.{key}", value, ("Retain", "Delete")))
    found += validation.nonnegative("spec.replicas", spec["replicas"])
    found += validation.nonnegative("spec.minReadySeconds", spec.get("minReadySeconds") or 0)
    found += validation.nonnegative("spec.ordinals.start", (spec.get("ordinals") or {}).get("start") or 0)
    return found + _selected_template(spec)


def _strategy(strategy: Obj) -> list[FieldError]:
    kind, rolling, path = strategy["type"], strategy.get("rollingUpdate"), "spec.updateStrategy"
    if kind == "RollingUpdate":
        return validation.nonnegative(f"{path}.rollingUpdate.partition", (rolling or {}).get("partition") or 0)
    if kind not in _STRATEGIES:
        shown = f"apps.StatefulSetUpdateStrategy{{Type:{fields.quote(kind)}, RollingUpdate:"
        shown += "(*apps.RollingUpdateStatefulSetStrategy)(nil)}"
        return [fields.invalid(path, fields.Raw(shown), "must be 'RollingUpdate' or 'OnDelete'")]
    if rolling is not None:
        shown = f"apps.RollingUpdateStatefulSetStrategy{{Partition:{rolling.get('partition') or 0}, "
        shown += "MaxUnavailable:(*intstr.IntOrString)(nil)}"
        text = "only allowed for updateStrategy 'RollingUpdate'"
        return [fields.invalid(f"{path}.rollingUpdate", fields.Raw(shown), text)]
    return []


def _selected_template(spec: Obj) -> list[FieldError]:
    """The pod spec itself is judged when the first pod is made: volumes of claim templates are not in it yet."""
    selector, template = spec.get("selector"), spec["template"]
    shown = fields.go_label_selector(selector)
    found = validation.label_selector("spec.selector", selector)
    if selector is None:
        found.append(fields.required("spec.selector"))
    elif not (selector.get("matchLabels") or selector.get("matchExpressions")):
        found.append(fields.invalid("spec.selector", shown, "empty selector is invalid for statefulset"))
    try:
        found += template_matches(selectors.from_object(selector), template)
    except KeyError:  # an operator that does not exist
        found.append(fields.invalid("spec.selector", shown, ""))
    metadata = template.get("metadata") or {}
    found += validation.labels("spec.template.labels", metadata.get("labels"))
    for key in metadata.get("annotations") or ():
        faults = validation.qualified_name(key.lower())
        found += [fields.invalid("spec.template.annotations", key, text) for text in faults]
    if (policy := template["spec"].get("restartPolicy")) != "Always":
        found.append(fields.not_supported("spec.template.spec.restartPolicy", policy, ("Always",)))
    if template["spec"].get("activeDeadlineSeconds") is not None:
        text = "activeDeadlineSeconds in StatefulSet is not Supported"
        found.append(fields.forbidden("spec.template.spec.activeDeadlineSeconds", text))
    return found


def _validate_status(new: Obj, old: Obj) -> list[FieldError]:
    found = workload.status_counts(new, (*_COUNTS, "observedGeneration", "collisionCount"))
    status = new.get("status") or {}
    total = status.get("replicas") or 0
    for key in _COUNTS[1:]:
        if (count := status.get(key) or 0) > total:
            found.append(fields.invalid(f"status.{key}", count, "cannot be greater than status.replicas"))
    ready, available = status.get("readyReplicas") or 0, status.get("availableReplicas") or 0
    if available > ready:
        text = "cannot be greater than status.readyReplicas"
        found.append(fields.invalid("status.availableReplicas", available, text))
    found += objectmeta.validate_update(new["metadata"], old["metadata"])
    collisions = status.get("collisionCount") or 0
    if collisions < ((old.get("status") or {}).get("collisionCount") or 0):
        found.append(fields.invalid("status.collisionCount", collisions, "cannot be decremented"))
    return found


def _row(stateful_set: Obj, now: datetime) -> list[Any]:
    ready = (stateful_set.get("status") or {}).get("readyReplicas", 0)
    spec = stateful_set["spec"]
    cells = workload.template_cells(spec.get("template"))
    return [meta.name(stateful_set), f"{ready}/{spec.get('replicas', 0)}", age(stateful_set, now), *cells]


RESOURCE = Resource(
    group="apps",
    version="v1",
    kind="StatefulSet",
    plural="statefulsets",
    definition="io.k8s.api.apps.v1.StatefulSet",
    singular="statefulset",
    short=("sts",),
    categories=("all",),
    subresources=("scale", "status"),
    generation=True,
    strategy=Strategy(
        columns=(
            NAME,
            Column("Ready", description="Number of the pod with ready state"),
            AGE,
            *workload.WIDE_COLUMNS[:2],
        ),
        row=_row,
        default=_default,
        prepare_create=_prepare_create,
        validate=_validate,
        validate_update=_validate_update,
        validate_status=_validate_status,
        warnings=template_warnings,
    ),
)
