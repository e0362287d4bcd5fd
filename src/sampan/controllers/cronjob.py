"""CronJob: makes a Job whenever its schedule says so.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo

from sampan.api import cron, meta
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import After, Cache, Controller, Env
from sampan.controllers import job
from sampan.controllers.keys import own_key
from sampan.controllers.writes import create, remove, write_status

RESOURCE = "cronjobs.batch"
_SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
# What `kubectl create job --from` writes.
_BY_HAND = "cronjob.kubernetes.io/instantiate"
# More missed moments than this are worth a warning.
_MANY = 100


def controller() -> Controller:
    return Controller("cronjob-controller", {RESOURCE: own_key, job.RESOURCE: _owner}, reconcile)


def _owner(made: Obj, caches: Mapping[str, Cache]) -> Iterable[Key]:
    reference = meta.controller_of(made)
    if reference is None or reference["kind"] != "CronJob":
        return ()
    return (Key(meta.namespace(made), reference["name"]),)


async def reconcile(key: Key, env: Env) -> After | None:
    cron_job = env.caches[RESOURCE].get(key)
    if cron_job is None or meta.deleting(cron_job):
        return None
    owned = env.caches[job.RESOURCE].owned_by(meta.uid(cron_job))
    jobs = [j for j in owned if (meta.controller_of(j) or {}).get("uid") == meta.uid(cron_job)]
    return await _Step(env, cron_job, jobs).run()


class _Step:
    """One reconcile of one CronJob: its Jobs as they are now, and its status as it will be."""

    def __init__(self, env: Env, cron_job: Obj, jobs: list[Obj]) -> None:
        self.env, self.cron_job, self.jobs = env, cron_job, jobs
        self.now = env.clock.now()
        old: Obj = cron_job.get("status") or {}
        self.active: list[Obj] = list(old.get("active") or ())
        self.last: str = old.get("lastScheduleTime", "")
        self.succeeded: str = old.get("lastSuccessfulTime", "")

    async def run(self) -> After | None:
        await self._trim()
        await self._follow()
        try:
            again = await self._schedule()
        finally:
            await self._write()
        return again

    async def _follow(self) -> None:
        """Which Jobs run, which have ended since the last look."""
        by_uid = {meta.uid(j): j for j in self.jobs}
        for reference in list(self.active):
            found = by_uid.get(reference["uid"]) or await self._live(reference)
            ended = found and job.finished(found)
            if found is None:
                self._tell("Normal", "MissingJob", f"Active job went missing: {reference['name']}")
            elif ended:
                text = f"Saw completed job: {reference['name']}, condition: {ended['type']}"
                self._tell("Normal", "SawCompletedJob", text)
            if found is None or ended:
                self.active.remove(reference)
        listed = {reference["uid"] for reference in self.active}
        for found in self.jobs:
            ended = job.finished(found)
            # Ours, but we were killed before we could say so; what a user made from our template is not.
            if ended is None and meta.uid(found) not in listed and _BY_HAND not in meta.annotations(found):
                self.active.append(_reference(found))
            if ended is not None and ended["type"] == "Complete":
                self.succeeded = max(self.succeeded, found["status"].get("completionTime", ""))

    async def _live(self, reference: Obj) -> Obj | None:
        """Asked of the server: the cache may not show a Job we just made."""
        try:
            found = await self.env.client.get(job.RESOURCE, reference["name"], meta.namespace(self.cron_job))
        except ApiError as error:
            if error.code != 404:
                raise
            return None
        return found if meta.uid(found) == reference["uid"] else None

    async def _trim(self) -> None:
        """Ended Jobs beyond the history limits go, oldest first."""
        spec = self.cron_job["spec"]
        for kind, key in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            if (limit := spec.get(key)) is None:
                continue
            ended = [j for j in self.jobs if (job.finished(j) or {}).get("type") == kind and not meta.deleting(j)]
            ended.sort(key=lambda j: ((j.get("status") or {}).get("startTime", ""), meta.name(j)))
            for old in ended[: max(0, len(ended) - limit)]:
                await self._delete(old)

    async def _schedule(self) -> After | None:
        """Make the Job that is due; come back for the next one."""
        spec = self.cron_job["spec"]
        try:
            schedule = cron.parse(spec["schedule"])
            zone: tzinfo = zoneinfo.ZoneInfo(spec["timeZone"]) if spec.get("timeZone") else UTC
        except ValueError as error:
            self._tell("Warning", "UnparseableSchedule", f'unparseable schedule: "{spec["schedule"]}" : {error}')
            return None
        except zoneinfo.ZoneInfoNotFoundError:
            self._tell("Warning", "UnknownTimeZone", f'invalid timeZone: "{spec["timeZone"]}"')
            return None
        if spec.get("suspend"):
            return None
        due = self._due(schedule, zone)
        if due is not None:
            await self._start(due, zone)
        following = schedule.next(self.now, zone)
        # A little later than the moment itself: clocks may differ by less than a second.
        return After((following - self.now).total_seconds() + 0.1) if following else None

    def _due(self, schedule: cron.Schedule, zone: tzinfo) -> datetime | None:
        """The last moment that came since the last Job was made; None when it is too late for it."""
        since = meta.parse_time(self.last or self.cron_job["metadata"]["creationTimestamp"])
        deadline = self.cron_job["spec"].get("startingDeadlineSeconds")
        if deadline is not None:
            since = max(since, self.now - timedelta(seconds=deadline))
        due = schedule.latest(since, self.now, zone)
        if due is None:
            return None
        missed, moment = 0, schedule.next(since, zone)
        while moment is not None and moment < due and missed <= _MANY:
            missed, moment = missed + 1, schedule.next(moment, zone)
        if missed > _MANY:
            text = (
                "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew: "
                f"more than {_MANY}"
            )
            self._tell("Warning", "TooManyMissedTimes", text)
        return due

    async def _start(self, due: datetime, zone: tzinfo) -> None:
        policy = self.cron_job["spec"].get("concurrencyPolicy")
        if self.active and policy == "Forbid":
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._tell("Normal", "JobAlreadyActive", text)
            return
        if policy == "Replace":
            for reference in list(self.active):
                if (old := await self._live(reference)) is not None:
                    await self._delete(old)
                self.active.remove(reference)
        made = await self._make(job_for(self.cron_job, due, zone))
        if made is not None:
            self.last = meta.timestamp(due)
            if all(reference["uid"] != meta.uid(made) for reference in self.active):
                self.active.append(_reference(made))

    async def _make(self, wanted: Obj) -> Obj | None:
        """The Job's name says for when it is, so the same moment never makes two."""
        try:
            made = await create(self.env, job.RESOURCE, wanted)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                self._tell("Warning", "FailedCreate", f"Error creating job: {error.message}")
                raise
            found = await self.env.client.get(job.RESOURCE, meta.name(wanted), meta.namespace(wanted))
            if (meta.controller_of(found) or {}).get("uid") != meta.uid(self.cron_job):
                self._tell("Warning", "FailedCreate", f"Error creating job: {error.message}")
                return None
            return found
        if made is not None:
            self._tell("Normal", "SuccessfulCreate", f"Created job {meta.name(made)}")
        return made

    async def _delete(self, old: Obj) -> None:
        if await remove(self.env, job.RESOURCE, old, propagation="Background"):
            self._tell("Normal", "SuccessfulDelete", f"Deleted job {meta.name(old)}")

    async def _write(self) -> None:
        status = {"active": self.active, "lastScheduleTime": self.last, "lastSuccessfulTime": self.succeeded}
        await write_status(self.env, RESOURCE, self.cron_job, {k: v for k, v in status.items() if v})

    def _tell(self, kind: str, reason: str, message: str) -> None:
        self.env.events.event(self.cron_job, kind, reason, message)


def _reference(made: Obj) -> Obj:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": meta.name(made),
        "namespace": meta.namespace(made),
        "uid": meta.uid(made),
        "resourceVersion": made["metadata"]["resourceVersion"],
    }


def job_for(cron_job: Obj, due: datetime, zone: tzinfo) -> Obj:
    """The Job for one moment of the schedule."""
    template = cron_job["spec"]["jobTemplate"]
    described = template.get("metadata") or {}
    metadata = {
        "name": f"{meta.name(cron_job)}-{int(due.timestamp()) // 60}",
        "namespace": meta.namespace(cron_job),
        "labels": described.get("labels") or {},
        "annotations": {**(described.get("annotations") or {}), _SCHEDULED: _rfc3339(due.astimezone(zone))},
        "ownerReferences": [meta.owner_reference(cron_job)],
    }
    return meta.copy({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]})


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
