"""What a Job has come to: counts that survive crashes, and whether it is over. Pure.

A pod's end is counted in two steps. First its uid goes into status.uncountedTerminatedPods; then its finalizer is
removed; then the uid becomes a number. Whatever is interrupted, the next look at Job and pods tells which step is next,
so no end is counted twice or never.
Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sampan.api import indexes, meta, pods
from sampan.api.meta import Obj
from sampan.controllers import job_pods

# Uids at once in a status: its size stays small.
_BATCH = 500


@dataclass(frozen=True)
class Verdict:
    """`kind` Complete or Failed, with the condition's reason and message."""

    kind: str
    reason: str
    message: str


@dataclass
class Tally:
    """The counts of a Job: what its status says, and what its pods add to that."""

    succeeded: int = 0
    failed: int = 0
    uncounted_succeeded: list[str] = field(default_factory=list)
    uncounted_failed: list[str] = field(default_factory=list)
    completed: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    ignored: list[str] = field(default_factory=list)  # failures that a rule says are none
    fatal: str = ""  # the message of a FailJob rule

    @property
    def all_failed(self) -> int:
        return self.failed + len(self.uncounted_failed)

    @property
    def all_succeeded(self) -> int:
        return self.succeeded + len(self.uncounted_succeeded)

    @property
    def uncounted(self) -> set[str]:
        return {*self.uncounted_succeeded, *self.uncounted_failed}

    def count(self) -> None:
        """The finalizers are gone: the uids become numbers."""
        self.succeeded, self.failed = self.all_succeeded, self.all_failed
        self.uncounted_succeeded, self.uncounted_failed = [], []


def read(job: Obj) -> Tally:
    status = job.get("status") or {}
    uncounted = status.get("uncountedTerminatedPods") or {}
    limit = job["spec"].get("completions") or 0

    def parsed(key: str) -> set[int]:
        return indexes.parse(status.get(key) or "", indexes.LIMIT)

    return Tally(
        succeeded=status.get("succeeded", 0),
        failed=status.get("failed", 0),
        uncounted_succeeded=list(uncounted.get("succeeded") or ()),
        uncounted_failed=list(uncounted.get("failed") or ()),
        completed={i for i in parsed("completedIndexes") if i < limit},
        failed_indexes={i for i in parsed("failedIndexes") if i < limit},
    )


def add(tally: Tally, job: Obj, mine: Iterable[Obj], released: set[str]) -> list[Obj]:
    """Take in the pods that have ended and are not counted; returns them. `released`: finalizers we removed before."""
    known = tally.uncounted | released
    fresh = [p for p in mine if job_pods.is_tracked(p) and meta.uid(p) not in known and job_pods.has_ended(job, p)]
    for pod in fresh[:_BATCH]:
        if pods.phase(pod) == "Succeeded":
            tally.uncounted_succeeded.append(meta.uid(pod))
            if (number := job_pods.index(pod)) is not None and job_pods.is_indexed(job):
                tally.completed.add(number)
        else:
            _add_failed(tally, job, pod)
    return fresh[:_BATCH]


def _add_failed(tally: Tally, job: Obj, pod: Obj) -> None:
    action, message = job_pods.failure_rule(job, pod)
    if action == "Ignore":
        tally.ignored.append(meta.uid(pod))
        return
    if action == "FailJob":
        tally.fatal = tally.fatal or message
    tally.uncounted_failed.append(meta.uid(pod))
    number, limit = job_pods.index(pod), job["spec"].get("backoffLimitPerIndex")
    if number is not None and limit is not None and (action == "FailIndex" or job_pods.failures(pod) >= limit):
        tally.failed_indexes.add(number)


def verdict(job: Obj, tally: Tally, active: list[Obj], now: datetime) -> Verdict | None:
    """Is the Job over, and how?"""
    spec, start = job["spec"], (job.get("status") or {}).get("startTime")
    if tally.fatal:
        return Verdict("Failed", "PodFailurePolicy", tally.fatal)
    if tally.all_failed > spec.get("backoffLimit", 6) or _restarted_too_often(job, active):
        return Verdict("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and start and now >= meta.parse_time(start) + timedelta(seconds=deadline):
        return Verdict("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    if job_pods.is_indexed(job):
        return _indexed(job, tally, active)
    done, completions = tally.all_succeeded, spec.get("completions")
    # Without a number of completions the first success ends it, once the others have ended, too.
    if (done >= completions) if completions is not None else (done > 0 and not active):
        return Verdict("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
    return None


def _restarted_too_often(job: Obj, active: list[Obj]) -> bool:
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    limit, count = job["spec"].get("backoffLimit", 6), job_pods.restarts(active)
    return bool(count > 0 if limit == 0 else count >= limit)


def _indexed(job: Obj, tally: Tally, active: list[Obj]) -> Verdict | None:
    spec = job["spec"]
    for i, rule in enumerate((spec.get("successPolicy") or {}).get("rules") or ()):
        if _rule_met(rule, tally.completed, spec["completions"]):
            return Verdict("Complete", "SuccessPolicy", f"Matched rules at index {i}")
    most = spec.get("maxFailedIndexes")
    if most is not None and len(tally.failed_indexes) > most:
        text = "Job has exceeded the specified maximal number of failed indexes"
        return Verdict("Failed", "MaxFailedIndexesExceeded", text)
    if len(tally.completed) + len(tally.failed_indexes - tally.completed) < spec["completions"]:
        return None
    if tally.failed_indexes:
        return Verdict("Failed", "FailedIndexes", "Job has failed indexes")
    return Verdict("Complete", "CompletionsReached", "Reached expected number of succeeded pods")


def _rule_met(rule: Obj, completed: set[int], completions: int) -> bool:
    if (text := rule.get("succeededIndexes")) is not None:
        wanted = indexes.parse(text, completions)
        return len(completed & wanted) >= int(rule.get("succeededCount", len(wanted)))
    return len(completed) >= int(rule["succeededCount"])


def missing_indexes(job: Obj, tally: Tally, active: Iterable[Obj], count: int) -> list[int]:
    """The lowest indexes nobody works on."""
    busy = {job_pods.index(p) for p in active} | tally.completed | tally.failed_indexes
    return [i for i in range(job["spec"]["completions"]) if i not in busy][: max(0, count)]


def wanted_active(job: Obj, tally: Tally, active: int) -> int:
    """How many pods should run at once."""
    spec = job["spec"]
    parallelism, completions = int(spec.get("parallelism", 1)), spec.get("completions")
    if completions is None:
        return min(active, parallelism) if tally.all_succeeded else parallelism
    done = len(tally.completed | tally.failed_indexes) if job_pods.is_indexed(job) else tally.all_succeeded
    return min(parallelism, max(0, int(completions) - done))


def counts(job: Obj, tally: Tally, mine: list[Obj]) -> Obj:
    """The numbers of the status; what is nothing is left out."""
    active = [p for p in mine if pods.is_active(p)]
    limited = job["spec"].get("backoffLimitPerIndex") is not None
    status: Obj = {
        "active": len(active),
        "ready": sum(pods.is_ready(p) for p in active),
        "terminating": sum(meta.deleting(p) and not pods.is_terminal(p) for p in mine),
        "succeeded": len(tally.completed) if job_pods.is_indexed(job) else tally.succeeded,
        "failed": tally.failed,
        "completedIndexes": indexes.text(tally.completed),
        "failedIndexes": indexes.text(tally.failed_indexes),
    }
    kept = {k: v for k, v in status.items() if v or k in ("ready", "terminating")}
    if limited:
        kept.setdefault("failedIndexes", "")
    uncounted = {"succeeded": tally.uncounted_succeeded, "failed": tally.uncounted_failed}
    kept["uncountedTerminatedPods"] = {k: v for k, v in uncounted.items() if v}
    return kept
