"""Job (batch/v1).

Source: k8s.io/kubernetes/pkg/apis/batch/{v1/defaults.go,validation}, pkg/registry/batch/job (1.32).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sampan.api import fields, meta, objectmeta, selectors, table, validation
from sampan.api.kinds import workload
from sampan.api.kinds.job_policies import validate_failure_policy, validate_success_policy
from sampan.api.kinds.pod_warnings import template_warnings
from sampan.api.kinds.podspec_defaults import default_pod_template
from sampan.api.kinds.podspec_validation import template_matches, validate_pod_template
from sampan.api.meta import Obj
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age

UID_LABEL, NAME_LABEL = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
_NEVER = 2**31 - 1
_MAX_INDEXES = 100_000
_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_FIXED = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")


def _default(job: Obj) -> None:
    spec = job.setdefault("spec", {})
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    default_pod_template(spec.setdefault("template", {}))
    replacement = "Failed" if spec.get("podFailurePolicy") is not None else "TerminatingOrFailed"
    for key, value in (
        ("parallelism", 1),
        ("backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else _NEVER),
        ("completionMode", "NonIndexed"),
        ("suspend", False),
        ("manualSelector", False),
        ("podReplacementPolicy", replacement),
    ):
        if spec.get(key) is None:
            spec[key] = value
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"
    if not meta.labels(job) and (labels := (spec["template"].get("metadata") or {}).get("labels")):
        job["metadata"]["labels"] = dict(labels)


def _prepare_create(job: Obj) -> None:
    """Labels that no other Job's pods have, and the selector that chooses them."""
    job["status"] = {}
    spec, metadata = job["spec"], job["metadata"]
    if spec["manualSelector"]:
        return
    uid, name = metadata.get("uid", ""), metadata.get("name", "")
    labels = {"controller-uid": uid, "job-name": name, UID_LABEL: uid, NAME_LABEL: name}
    template = spec["template"].setdefault("metadata", {})
    template["labels"] = {**(template.get("labels") or {}), **labels}
    selector = spec["selector"] = spec.get("selector") or {}
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), UID_LABEL: uid}


def _validate(job: Obj) -> list[FieldError]:
    found = objectmeta.validate(job["metadata"], namespaced=True)
    return found + _selector(job["spec"]) + validate_spec(job["spec"], "spec")


def _selector(spec: Obj) -> list[FieldError]:
    selector = spec.get("selector")
    if selector is None:
        return [fields.required("spec.selector")]
    found = validation.label_selector("spec.selector", selector)
    return found or template_matches(selectors.from_object(selector), spec["template"])


def validate_spec(spec: Obj, path: str) -> list[FieldError]:
    """The spec of a Job or of a CronJob's jobTemplate, but for its selector."""
    found: list[FieldError] = []
    for key in _COUNTS:
        if spec.get(key) is not None:
            found += validation.nonnegative(f"{path}.{key}", spec[key])
    indexed = spec.get("completionMode") == "Indexed"
    if spec.get("completionMode") not in (None, "Indexed", "NonIndexed"):
        modes = ("NonIndexed", "Indexed")
        found.append(fields.not_supported(f"{path}.completionMode", spec["completionMode"], modes))
    if indexed:
        found += _indexed(spec, path)
    elif spec.get("backoffLimitPerIndex") is not None:
        limit = spec["backoffLimitPerIndex"]
        found.append(fields.invalid(f"{path}.backoffLimitPerIndex", limit, "requires indexed completion mode"))
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        text = "when maxFailedIndexes is specified"
        found.append(fields.required(f"{path}.backoffLimitPerIndex", text))
    if spec.get("podFailurePolicy") is not None:
        found += validate_failure_policy(spec, f"{path}.podFailurePolicy")
    if spec.get("successPolicy") is not None:
        found += validate_success_policy(spec, f"{path}.successPolicy")
    if spec.get("podReplacementPolicy") is not None:
        choices = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
        if spec["podReplacementPolicy"] not in choices:
            at = f"{path}.podReplacementPolicy"
            found.append(fields.not_supported(at, spec["podReplacementPolicy"], choices))
    found += validate_pod_template(spec.get("template") or {}, f"{path}.template")
    return found + _restart_policy(spec, f"{path}.template.spec.restartPolicy")


def _indexed(spec: Obj, path: str) -> list[FieldError]:
    if spec.get("completions") is None:
        return [fields.required(f"{path}.completions", "when completion mode is Indexed")]
    parallelism = spec.get("parallelism") or 0
    if parallelism > _MAX_INDEXES:
        text = f"must be less than or equal to {_MAX_INDEXES} when completion mode is Indexed"
        return [fields.invalid(f"{path}.parallelism", parallelism, text)]
    failed = spec.get("maxFailedIndexes")
    if failed is not None and failed > spec["completions"]:
        return [fields.invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")]
    return []


def _restart_policy(spec: Obj, path: str) -> list[FieldError]:
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
    if policy == "Always":
        return [fields.required(path, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [fields.not_supported(path, policy, ("OnFailure", "Never"))]
    if spec.get("podFailurePolicy") is not None and policy != "Never":
        return [fields.invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    return []


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    now, before = new["spec"], old["spec"]
    found += _selector(now) + validate_spec(now, "spec") + _completions(now, before)
    found += workload.selector_kept(new, old)
    suspended = bool(before.get("suspend")) and not (old.get("status") or {}).get("startTime")
    template = _scheduling_taken(now["template"], before["template"]) if suspended else now["template"]
    found += validation.immutable("spec.template", template, before["template"], fields.Raw("core.PodTemplateSpec{…}"))
    for key in _FIXED:
        found += validation.immutable(f"spec.{key}", now.get(key), before.get(key), fields.Raw(f"<{key}>"))
    return found


def _completions(now: Obj, before: Obj) -> list[FieldError]:
    wanted = now.get("completions")
    if wanted == before.get("completions") or now.get("completionMode") != "Indexed":
        return validation.immutable("spec.completions", wanted, before.get("completions"))
    if wanted is None or wanted != now.get("parallelism"):
        text = "can only be modified in tandem with spec.parallelism"
        return [fields.invalid("spec.completions", wanted, text)]
    return []


def _scheduling_taken(new: Obj, old: Obj) -> Obj:
    """Where a Job's pods go may be changed before it starts: the new template with the old one's such parts."""
    spec = {k: v for k, v in new["spec"].items() if k not in ("nodeSelector", "tolerations", "affinity")}
    spec |= {k: old["spec"][k] for k in ("nodeSelector", "tolerations", "affinity") if k in old["spec"]}
    return {**new, "metadata": old.get("metadata"), "spec": spec}


def _validate_status(new: Obj, old: Obj) -> list[FieldError]:
    found = objectmeta.validate_update(new["metadata"], old["metadata"])
    status = new.get("status") or {}
    found += workload.status_counts(new, ("active", "succeeded", "failed", "ready", "terminating"))
    kinds = {c.get("type") for c in status.get("conditions") or () if c.get("status") == "True"}
    if {"Complete", "Failed"} <= kinds:
        found.append(
            fields.invalid("status.conditions", fields.OMIT, "cannot set Complete=True and Failed=true conditions")
        )
    if status.get("completionTime") and "Complete" not in kinds:
        found.append(
            fields.invalid(
                "status.completionTime",
                status["completionTime"],
                "cannot set completionTime when there is no Complete=True condition",
            )
        )
    return found


# The first of these that is True, else by the metadata.
_STATES = ("Complete", "Failed"), ("Suspended", "FailureTarget", "SuccessCriteriaMet")


def _state(job: Obj) -> str:
    ended = next((kind for kind in _STATES[0] if meta.is_true(job, kind)), "")
    if ended or meta.deleting(job):
        return ended or "Terminating"
    return next((kind for kind in _STATES[1] if meta.is_true(job, kind)), "Running")


def _row(job: Obj, now: datetime) -> list[Any]:
    spec, status = job["spec"], job.get("status") or {}
    done, parallelism = status.get("succeeded", 0), spec.get("parallelism") or 0
    if spec.get("completions") is not None:
        completions = f"{done}/{spec['completions']}"
    else:
        completions = f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"
    duration = ""
    if start := status.get("startTime"):
        end = status.get("completionTime")
        duration = table.since(start, meta.parse_time(end) if end else now)
    return [meta.name(job), _state(job), completions, duration, age(job, now), *workload.wide_cells(job)]


RESOURCE = Resource(
    group="batch",
    version="v1",
    kind="Job",
    plural="jobs",
    definition="io.k8s.api.batch.v1.Job",
    singular="job",
    categories=("all",),
    subresources=("status",),
    fields={"status.successful": lambda job: str((job.get("status") or {}).get("succeeded", 0))},
    generation=True,
    strategy=Strategy(
        columns=(
            NAME,
            Column("Status", description="Status of the job."),
            Column("Completions", description="How many pods have succeeded, of how many."),
            Column("Duration", description="The time since the start, or from the start to the end."),
            AGE,
            *workload.WIDE_COLUMNS,
        ),
        row=_row,
        default=_default,
        prepare_create=_prepare_create,
        validate=_validate,
        validate_update=_validate_update,
        validate_status=_validate_status,
        warnings=template_warnings,
        orphans=True,
    ),
)
