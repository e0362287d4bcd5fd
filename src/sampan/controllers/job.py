"""Job: pods that are run until enough of them have succeeded.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from functools import partial

from sampan.api import meta, pods
from sampan.api.meta import Key, Obj
from sampan.api.patch import merge
from sampan.api.status import ApiError
from sampan.client.env import After, Controller, Env
from sampan.controllers import job_pods, job_status
from sampan.controllers.claim import claim
from sampan.controllers.deletion_order import deletion_order
from sampan.controllers.job_backoff import Backoff
from sampan.controllers.job_status import Tally, Verdict
from sampan.controllers.keys import own_key, owners
from sampan.controllers.own_writes import DOUBT, OwnWrites, as_deleting
from sampan.controllers.writes import create, in_batches, patch_exactly, remove, set_condition

RESOURCE = "jobs.batch"
# At most so many pods are made in one reconcile.
_BURST = 500
# The condition that says how a Job will end, as soon as that is known, and the one that says it has ended.
_INTERIM = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}
_MANAGER = "kubernetes.io/job-controller"


def controller() -> Controller:
    return Controller("job-controller", {RESOURCE: own_key, "pods": owners(RESOURCE, "Job")}, Jobs().reconcile)


def finished(job: Obj) -> Obj | None:
    """The condition with which the Job has ended."""
    return next((meta.condition(job, kind) for kind in _INTERIM if meta.is_true(job, kind)), None)


class Jobs:
    """The controller. It remembers its own writes: creations, deletions, removed finalizers, versions of Jobs."""

    def __init__(self) -> None:
        self._writes = OwnWrites("pods")
        self._released: dict[Key, set[str]] = {}
        self._written: dict[Key, int] = {}
        self._backoff = Backoff()

    async def reconcile(self, key: Key, env: Env) -> After | None:
        job = env.caches[RESOURCE].get(key)
        await self._free_strays(key, job, env)
        if job is None:
            for memory in (self._writes, self._backoff):
                memory.forget(key)
            self._released.pop(key, None)
            self._written.pop(key, None)
            return None
        if job["spec"].get("managedBy", _MANAGER) != _MANAGER:
            return None
        # A Job older than our last write would be counted again: its next version is on its way.
        if int(job["metadata"]["resourceVersion"]) < self._written.get(key, 0):
            return None
        try:
            return await self._look(key, job, env)
        except ApiError as error:
            if error.code != 404:  # else the Job has just gone
                raise
            return None

    async def _look(self, key: Key, job: Obj, env: Env) -> After | None:
        cached = list(env.caches["pods"].list(key.namespace))
        unseen = await self._writes.unseen(key, env)
        leaving = self._writes.leaving(key, cached)
        claimed = await claim(env, RESOURCE, job, "pods", cached)
        mine = [as_deleting(p) if meta.uid(p) in leaving else p for p in claimed] + unseen
        tracked = {meta.uid(p) for p in mine if job_pods.is_tracked(p)}
        released = self._released[key] = self._released.get(key, set()) & tracked
        step = _Step(self, key, job, mine, env)
        if meta.deleting(job):
            await self.release([p for p in mine if meta.uid(p) not in released], key, env)
            return None
        if condition := finished(job):
            await step.clean_up()
            return await _expire(job, condition, env)
        return await step.run(released) or (After(DOUBT) if unseen else None)

    async def _free_strays(self, key: Key, job: Obj | None, env: Env) -> None:
        """Pods of a Job of this name that is gone: nobody will count them."""
        uid = meta.uid(job) if job else ""
        strays = [
            pod
            for pod in env.caches["pods"].list(key.namespace)
            if job_pods.is_tracked(pod)
            and (owner := meta.controller_of(pod)) is not None
            and (owner["kind"], owner["name"]) == ("Job", key.name)
            and owner["uid"] != uid
        ]
        await self.release(strays, key, env)

    async def release(self, candidates: Iterable[Obj], key: Key, env: Env) -> None:
        """Remove the finalizer from pods that have it."""
        await asyncio.gather(*(self._release(p, key, env) for p in candidates if job_pods.is_tracked(p)))

    async def _release(self, pod: Obj, key: Key, env: Env) -> None:
        kept = [f for f in pod["metadata"]["finalizers"] if f != job_pods.FINALIZER]
        try:
            await patch_exactly(env, "pods", pod, {"metadata": {"finalizers": kept or None}})
        except ApiError as error:
            if error.code != 404:
                raise
        self._released.setdefault(key, set()).add(meta.uid(pod))

    async def write(self, key: Key, job: Obj, status: Obj, env: Env) -> Obj:
        """Make the status equal `status`, if the Job is still as `job` shows it; returns the Job after that."""
        old = job.get("status") or {}
        if old == status:
            return job
        patch = {"status": merge.difference(old, status)}
        new = await patch_exactly(env, RESOURCE, job, patch, subresource="status")
        self._written[key] = int(new["metadata"]["resourceVersion"])
        return new

    async def create(self, key: Key, job: Obj, pod: Obj, env: Env) -> ApiError | None:
        try:
            made = await create(env, "pods", pod)
        except ApiError as error:
            env.events.event(job, "Warning", "FailedCreate", f"Error creating: {error.message}")
            return error
        if made is not None:
            self._writes.created(key, made, env)
            env.events.event(job, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(made)}")
        return None

    async def delete(self, key: Key, job: Obj, doomed: list[Obj], env: Env, *, counted: bool) -> None:
        """Delete pods; their end counts as a failure only when `counted`."""
        if not counted:
            await self.release(doomed, key, env)
        for pod in doomed:
            if await remove(env, "pods", pod):
                env.events.event(job, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")
            if not counted:
                self._writes.deleted(key, meta.uid(pod))

    def backoff(self) -> Backoff:
        return self._backoff


class _Step:
    """One reconcile of one Job that is not over."""

    def __init__(self, jobs: Jobs, key: Key, job: Obj, mine: list[Obj], env: Env) -> None:
        self.jobs, self.key, self.job, self.mine, self.env = jobs, key, job, mine, env
        self.now = env.clock.now()
        self.tally: Tally = job_status.read(job)
        self.conditions: list[Obj] = (job.get("status") or {}).get("conditions") or []
        self.start: str = (job.get("status") or {}).get("startTime", "")

    @property
    def active(self) -> list[Obj]:
        return [p for p in self.mine if pods.is_active(p)]

    async def run(self, released: set[str]) -> After | None:
        ended = job_status.add(self.tally, self.job, self.mine, released)
        self.jobs.backoff().note(self.key, self.job, ended, self.now)
        self._suspend_or_start()
        verdict = self._verdict()
        if ended or verdict is not None or not (self.job.get("status") or {}).get("startTime"):
            await self._write()
        counted = self.tally.uncounted | {*self.tally.ignored}
        await self.jobs.release([p for p in self.mine if meta.uid(p) in counted], self.key, self.env)
        self.tally.count()
        error: ApiError | None = None
        wait: float | None = None
        if verdict is not None:
            self.mine = await self._end(verdict)
        elif self.job["spec"].get("suspend"):
            await self._shrink(self.active)
        else:
            error, wait = await self._manage()
        await self._write()
        if error is not None:
            raise error
        return self._again(wait) if verdict is None else None

    def _condition(self, kind: str, status: str, reason: str, message: str) -> None:
        stamp = meta.timestamp(self.now)
        added = set_condition(self.conditions, kind, status, reason, message, stamp)
        if added is not self.conditions:
            added[-1]["lastProbeTime"] = stamp
        self.conditions = added

    def _suspend_or_start(self) -> None:
        """A suspended Job has no start; a resumed one starts anew."""
        was = next((c["status"] == "True" for c in self.conditions if c["type"] == "Suspended"), None)
        if self.job["spec"].get("suspend"):
            self.start = ""
            self._condition("Suspended", "True", "JobSuspended", "Job suspended")
            if not was:
                self.env.events.event(self.job, "Normal", "Suspended", "Job suspended")
            return
        self.start = self.start or meta.timestamp(self.now)
        if was:
            self._condition("Suspended", "False", "JobResumed", "Job resumed")
            self.env.events.event(self.job, "Normal", "Resumed", "Job resumed")

    def _verdict(self) -> Verdict | None:
        """As it was found before, else as it is now; it is written before anything is done about it."""
        for kind, interim in _INTERIM.items():
            for c in self.conditions:
                if c["type"] == interim and c["status"] == "True":
                    return Verdict(kind, c["reason"], c["message"])
        job = {**self.job, "status": {"startTime": self.start} if self.start else {}}
        found = job_status.verdict(job, self.tally, self.active, self.now)
        if found is not None:
            self._condition(_INTERIM[found.kind], "True", found.reason, found.message)
        return found

    async def _end(self, verdict: Verdict) -> list[Obj]:
        """What still runs goes; when all has ended the Job has. Returns the pods that are left."""
        failed = verdict.kind == "Failed"
        left = [p for p in self.mine if not pods.is_terminal(p)]
        await self.jobs.delete(self.key, self.job, self.active, self.env, counted=failed)
        if not left:
            self._condition(verdict.kind, "True", verdict.reason, verdict.message)
            kind = "Warning" if failed else "Normal"
            self.env.events.event(
                self.job,
                kind,
                verdict.reason if failed else "Completed",
                verdict.message if failed else "Job completed",
            )
        return left

    async def _shrink(self, doomed: list[Obj]) -> None:
        await self.jobs.delete(self.key, self.job, doomed, self.env, counted=False)
        gone = {meta.uid(p) for p in doomed}
        self.mine = [p for p in self.mine if meta.uid(p) not in gone]

    async def _manage(self) -> tuple[ApiError | None, float | None]:
        """As many pods as should run. Returns what failed, and in how many seconds the next may be made."""
        if job_pods.is_indexed(self.job):
            await self._shrink(self._useless())
        active = self.active
        wanted = job_status.wanted_active(self.job, self.tally, len(active))
        if len(active) > wanted:
            await self._shrink(deletion_order(active, active)[: len(active) - wanted])
            return None, None
        missing = min(wanted - len(active), _BURST)
        if job_pods.waits_for_end(self.job):
            missing -= sum(meta.deleting(p) and not pods.is_terminal(p) for p in self.mine)
        if missing <= 0:
            return None, None
        todo: list[int] | list[None] = [None] * missing
        if job_pods.is_indexed(self.job):
            running = [p for p in self.mine if not pods.is_terminal(p)] if job_pods.waits_for_end(self.job) else active
            todo = job_status.missing_indexes(self.job, self.tally, running, missing)
        waits = {number: self.jobs.backoff().left(self.key, self.job, number, self.now) for number in todo}
        due = [self._pod(number) for number in todo if waits[number] <= 0]
        error = await in_batches([partial(self.jobs.create, self.key, self.job, pod, self.env) for pod in due])
        return error, min((w for w in waits.values() if w > 0), default=None)

    def _useless(self) -> list[Obj]:
        """Pods of indexes that are done, out of range, or have another pod."""
        seen: set[int | None] = {*self.tally.completed, *self.tally.failed_indexes}
        found = []
        for pod in self.active:
            number = job_pods.index(pod)
            if number in seen or number is None or number >= self.job["spec"]["completions"]:
                found.append(pod)
            seen.add(number)
        return found

    def _pod(self, number: int | None) -> Obj:
        failures: int | None = None
        if number is not None and self.job["spec"].get("backoffLimitPerIndex") is not None:
            before = [p for p in self.mine if job_pods.index(p) == number]
            failures = max(
                (job_pods.failures(p) + (job_pods.failure_rule(self.job, p)[0] != "Ignore") for p in before), default=0
            )
        return job_pods.new_pod(self.job, number, failures)

    async def _write(self) -> None:
        status = job_status.counts(self.job, self.tally, self.mine)
        if self.start:
            status["startTime"] = self.start
        if self.conditions:
            status["conditions"] = self.conditions
        complete = next((c for c in self.conditions if c["type"] == "Complete"), None)
        if complete is not None:
            status["completionTime"] = complete["lastTransitionTime"]
        self.job = await self.jobs.write(self.key, self.job, status, self.env)

    def _again(self, wait: float | None) -> After | None:
        """When something comes due by itself: the back-off, or the deadline."""
        waits = [wait] if wait is not None else []
        deadline = self.job["spec"].get("activeDeadlineSeconds")
        if deadline is not None and self.start:
            due = meta.parse_time(self.start) + timedelta(seconds=deadline)
            waits.append((due - self.now).total_seconds())
        return After(min(waits)) if waits else None

    async def clean_up(self) -> None:
        """The Job is over: nothing runs for it, nothing waits to be counted."""
        await self.jobs.release(self.mine, self.key, self.env)
        await self.jobs.delete(self.key, self.job, self.active, self.env, counted=False)


async def _expire(job: Obj, condition: Obj, env: Env) -> After | None:
    """ttlSecondsAfterFinished: a Job that is over goes with its pods."""
    seconds = job["spec"].get("ttlSecondsAfterFinished")
    if seconds is None:
        return None
    due = meta.parse_time(condition["lastTransitionTime"]) + timedelta(seconds=seconds)
    left = (due - env.clock.now()).total_seconds()
    if left > 0:
        return After(left)
    await remove(env, RESOURCE, job, propagation="Foreground")
    return None
