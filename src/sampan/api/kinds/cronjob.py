"""CronJob (batch/v1).

Source: k8s.io/kubernetes/pkg/apis/batch/{v1/defaults.go,validation}, pkg/registry/batch/cronjob (1.32).
"""

from __future__ import annotations

import zoneinfo
from datetime import datetime
from typing import Any

from sampan.api import cron, fields, meta, objectmeta, validation
from sampan.api.kinds import job, workload
from sampan.api.kinds.pod_warnings import template_warnings
from sampan.api.kinds.podspec_defaults import default_pod_template
from sampan.api.meta import Obj
from sampan.api.scale import selector_text
from sampan.api.scheme import Column, Resource, Strategy
from sampan.api.status import FieldError
from sampan.api.table import AGE, NAME, age, since

# The names of its Jobs have eleven characters more.
_NAME_LIMIT = 63 - 11
_POLICIES = ("Allow", "Forbid", "Replace")


def _default(cron_job: Obj) -> None:
    spec = cron_job.setdefault("spec", {})
    if not spec.get("concurrencyPolicy"):
        spec["concurrencyPolicy"] = "Allow"
    for key, value in (("suspend", False), ("successfulJobsHistoryLimit", 3), ("failedJobsHistoryLimit", 1)):
        if spec.get(key) is None:
            spec[key] = value
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    default_pod_template(template.setdefault("spec", {}).setdefault("template", {}))


def _prepare_create(cron_job: Obj) -> None:
    cron_job["status"] = {}


def _validate(cron_job: Obj) -> list[FieldError]:
    name = meta.name(cron_job)
    found = objectmeta.validate(cron_job["metadata"], namespaced=True)
    found += _spec(cron_job["spec"])
    if "TZ=" in cron_job["spec"].get("schedule", ""):
        text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        found.append(fields.invalid("spec.schedule", cron_job["spec"]["schedule"], text))
    if len(name) > _NAME_LIMIT:
        found.append(fields.invalid("metadata.name", name, f"must be no more than {_NAME_LIMIT} characters"))
    return found


def _validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return objectmeta.validate_update(new["metadata"], old["metadata"]) + _spec(new["spec"])


def _spec(spec: Obj) -> list[FieldError]:
    schedule = spec.get("schedule", "")
    found = _schedule(schedule) if schedule else [fields.required("spec.schedule")]
    for key in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        if spec.get(key) is not None:
            found += validation.nonnegative(f"spec.{key}", spec[key])
    found += _time_zone(spec.get("timeZone"))
    if spec["concurrencyPolicy"] not in _POLICIES:
        found.append(fields.not_supported("spec.concurrencyPolicy", spec["concurrencyPolicy"], _POLICIES))
    return found + _job_template(spec["jobTemplate"]["spec"])


def _schedule(text: str) -> list[FieldError]:
    try:
        cron.parse(text)
    except ValueError as error:
        return [fields.invalid("spec.schedule", text, str(error))]
    return []


def _time_zone(name: str | None) -> list[FieldError]:
    path = "spec.timeZone"
    if name is None:
        return []
    if not name:
        return [fields.invalid(path, name, "timeZone must be nil or non-empty string")]
    if name.lower() == "local":
        text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        return [fields.invalid(path, name, text)]
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return [fields.invalid(path, name, f"unknown time zone {name}")]
    return []


def _job_template(spec: Obj) -> list[FieldError]:
    path = "spec.jobTemplate.spec"
    found = job.validate_spec(spec, path)
    if spec.get("selector") is not None:
        shown = fields.go_label_selector(spec["selector"])
        found.append(fields.invalid(f"{path}.selector", shown, "`selector` will be auto-generated"))
    if spec.get("manualSelector"):
        found.append(fields.not_supported(f"{path}.manualSelector", True, ("nil", "false")))
    return found


def _warnings(cron_job: Obj) -> list[str]:
    return template_warnings(cron_job["spec"]["jobTemplate"], "spec.jobTemplate.spec")


def _row(cron_job: Obj, now: datetime) -> list[Any]:
    spec, status = cron_job["spec"], cron_job.get("status") or {}
    template = spec["jobTemplate"]["spec"]
    last = status.get("lastScheduleTime")
    return [
        meta.name(cron_job),
        spec.get("schedule", ""),
        spec.get("timeZone") or "<none>",
        str(bool(spec.get("suspend"))),
        len(status.get("active") or ()),
        since(last, now) if last else "<none>",
        age(cron_job, now),
        *workload.template_cells(template.get("template")),
        selector_text(template.get("selector")),
    ]


RESOURCE = Resource(
    group="batch",
    version="v1",
    kind="CronJob",
    plural="cronjobs",
    definition="io.k8s.api.batch.v1.CronJob",
    singular="cronjob",
    short=("cj",),
    categories=("all",),
    subresources=("status",),
    generation=True,
    strategy=Strategy(
        columns=(
            NAME,
            Column("Schedule", description="When Jobs are made, in Cron form."),
            Column("Timezone", description="The time zone of the schedule; that of the cluster when empty."),
            Column("Suspend", description="Whether no further Jobs are made."),
            Column("Active", type="integer", description="How many of its Jobs run."),
            Column("Last Schedule", description="When a Job was last due and made."),
            AGE,
            *workload.WIDE_COLUMNS,
        ),
        row=_row,
        default=_default,
        prepare_create=_prepare_create,
        validate=_validate,
        validate_update=_validate_update,
        warnings=_warnings,
    ),
)
