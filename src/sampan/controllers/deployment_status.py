"""A Deployment's status: counts, Available, Progressing. Pure.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.controllers.deployment_rollout import available, bounds, replicas, total
from sampan.controllers.writes import set_condition

PROGRESSING = "Progressing"
COMPLETE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
# progressDeadlineSeconds that means "never" (the largest int32).
NO_DEADLINE = 2**31 - 1


def counts(deployment: Obj, new: Obj | None, olds: list[Obj]) -> Obj:
    """The status without conditions; zero counts are left out, as the API writes them."""
    sets = [*olds, *([new] if new else [])]
    usable = sum(available(rs) for rs in sets)
    status = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": _sum(sets, "replicas"),
        "updatedReplicas": _sum([new] if new else [], "replicas"),
        "readyReplicas": _sum(sets, "readyReplicas"),
        "availableReplicas": usable,
        "unavailableReplicas": max(0, total(sets) - usable),
        "collisionCount": (deployment.get("status") or {}).get("collisionCount", 0),
    }
    return {k: v for k, v in status.items() if v}


def _sum(sets: list[Obj], field: str) -> int:
    return sum((rs.get("status") or {}).get(field, 0) for rs in sets)


def status(deployment: Obj, new: Obj | None, olds: list[Obj], conditions: list[Obj], now: datetime) -> Obj:
    """The whole status; `conditions` are those of before and of this reconcile. A paused rollout makes no progress."""
    result = counts(deployment, new, olds)
    conditions = _availability(deployment, result, conditions, now)
    conditions = _failure(new, olds, conditions)
    if not deployment["spec"].get("paused"):
        conditions = _progress(deployment, new, result, conditions, now)
    return result | {"conditions": conditions}


def _availability(deployment: Obj, result: Obj, conditions: list[Obj], now: datetime) -> list[Obj]:
    _, unavailable = bounds(deployment)
    if result.get("availableReplicas", 0) >= replicas(deployment) - unavailable:
        found = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        found = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    return set_condition(conditions, "Available", *found, meta.timestamp(now), updated=True)


def _failure(new: Obj | None, olds: list[Obj], conditions: list[Obj]) -> list[Obj]:
    """ReplicaFailure as the new ReplicaSet has it, else as an old one has it."""
    found = next(
        (c for rs in [*([new] if new else []), *olds] if (c := meta.condition(rs, "ReplicaFailure"))),
        None,
    )
    kept = [c for c in conditions if c["type"] != "ReplicaFailure"]
    if found is None:
        return kept
    return [*kept, {**found, "lastUpdateTime": found["lastTransitionTime"]}]


def _progress(deployment: Obj, new: Obj | None, result: Obj, conditions: list[Obj], now: datetime) -> list[Obj]:
    if deadline(deployment) is None:
        return [c for c in conditions if c["type"] != PROGRESSING]
    current = _get(conditions)
    settled = result.get("replicas", 0) == result.get("updatedReplicas", 0)
    if settled and current is not None and current["reason"] == COMPLETE:
        return conditions
    what = f'ReplicaSet "{meta.name(new)}"' if new else f'Deployment "{meta.name(deployment)}"'
    stamp = meta.timestamp(now)
    if is_complete(deployment, result):
        done = ("True", COMPLETE, f"{what} has successfully progressed.")
        return set_condition(conditions, PROGRESSING, *done, stamp, updated=True)
    if _moved(deployment.get("status") or {}, result):
        moving = ("True", "ReplicaSetUpdated", f"{what} is progressing.")
        # Each step forward restarts the deadline, which counts from lastUpdateTime.
        stale = [{**c, "reason": ""} if c["type"] == PROGRESSING else c for c in conditions]
        return set_condition(stale, PROGRESSING, *moving, stamp, updated=True)
    if timed_out(deployment, conditions, now):
        late = ("False", TIMED_OUT, f"{what} has timed out progressing.")
        return set_condition(conditions, PROGRESSING, *late, stamp, updated=True)
    return conditions


def is_complete(deployment: Obj, result: Obj) -> bool:
    """Do all pods run the new template, and are they available?"""
    desired = replicas(deployment)
    fields = ("updatedReplicas", "replicas", "availableReplicas")
    return all(result.get(f, 0) == desired for f in fields) and result.get("observedGeneration", 0) >= deployment[
        "metadata"
    ].get("generation", 0)


def _moved(old: Obj, new: Obj) -> bool:
    def outdated(s: Obj) -> int:
        return int(s.get("replicas", 0) - s.get("updatedReplicas", 0))

    more = any(new.get(f, 0) > old.get(f, 0) for f in ("updatedReplicas", "readyReplicas", "availableReplicas"))
    return more or outdated(new) < outdated(old)


def deadline(deployment: Obj) -> int | None:
    """progressDeadlineSeconds, None when there is none."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return None if seconds is None or seconds >= NO_DEADLINE else int(seconds)


def timed_out(deployment: Obj, conditions: list[Obj], now: datetime) -> bool:
    current = _get(conditions)
    if current is None or current["reason"] == COMPLETE:
        return False
    return current["reason"] == TIMED_OUT or time_left(deployment, conditions, now) <= 0


def time_left(deployment: Obj, conditions: list[Obj], now: datetime) -> float:
    """Seconds until the deadline; infinite when nothing waits for one."""
    current, seconds = _get(conditions), deadline(deployment)
    if current is None or seconds is None or current["reason"] in (COMPLETE, TIMED_OUT):
        return float("inf")
    since = meta.parse_time(current.get("lastUpdateTime") or current["lastTransitionTime"])
    return (since + timedelta(seconds=seconds) - now).total_seconds()


def pause_noted(deployment: Obj, conditions: list[Obj], now: datetime) -> list[Obj]:
    """Progressing says DeploymentPaused while paused, and DeploymentResumed after, so that the deadline starts anew."""
    if deadline(deployment) is None:
        return conditions
    current = _get(conditions)
    reason = current["reason"] if current else ""
    stamp = meta.timestamp(now)
    if deployment["spec"].get("paused"):
        if reason in ("DeploymentPaused", TIMED_OUT):
            return conditions
        noted = ("Unknown", "DeploymentPaused", "Deployment is paused")
        return set_condition(conditions, PROGRESSING, *noted, stamp, updated=True)
    if reason != "DeploymentPaused":
        return conditions
    noted = ("Unknown", "DeploymentResumed", "Deployment is resumed")
    return set_condition(conditions, PROGRESSING, *noted, stamp, updated=True)


def _get(conditions: list[Obj]) -> Obj | None:
    return next((c for c in conditions if c["type"] == PROGRESSING), None)
