"""The arithmetic of a Deployment: how large each of its ReplicaSets should be now. Pure.

A rollout is a sequence of small steps. Each step looks at the ReplicaSets as they are and changes the sizes of some;
the pods that come and go then cause the next step. `olds` never contains `new`; all are ReplicaSets.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#proportional-scaling,
k8s.io/kubernetes/pkg/controller/deployment/{rolling,recreate,sync}.go
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from sampan.api import meta
from sampan.api.meta import Obj

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"

# New sizes by ReplicaSet name; a ReplicaSet that is not named keeps its size.
Sizes = dict[str, int]


def replicas(obj: Obj) -> int:
    """spec.replicas of a Deployment or ReplicaSet."""
    value = obj["spec"].get("replicas")
    return 1 if value is None else int(value)


def available(rs: Obj) -> int:
    return int((rs.get("status") or {}).get("availableReplicas", 0))


def total(sets: Iterable[Obj]) -> int:
    return sum(replicas(rs) for rs in sets)


def is_rolling(deployment: Obj) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def bounds(deployment: Obj) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods. Never both zero: then nothing could move."""
    if not is_rolling(deployment):
        return 0, 0
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    desired = replicas(deployment)
    surge = absolute(rolling.get("maxSurge", "25%"), desired, round_up=True)
    unavailable = absolute(rolling.get("maxUnavailable", "25%"), desired, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, desired)


def absolute(value: int | str, whole: int, *, round_up: bool) -> int:
    if isinstance(value, int):
        return value
    hundredths = int(value.removesuffix("%")) * whole
    return (hundredths + 99 * round_up) // 100


def by_age(sets: Iterable[Obj]) -> list[Obj]:
    """Oldest first."""
    return sorted(sets, key=lambda rs: (rs["metadata"].get("creationTimestamp", ""), meta.name(rs)))


def scale_was_changed(deployment: Obj, sets: Iterable[Obj]) -> bool:
    """Did spec.replicas change since the ReplicaSets in use were last sized?"""
    desired = str(replicas(deployment))
    return any(replicas(rs) > 0 and meta.annotations(rs).get(DESIRED, desired) != desired for rs in sets)


def scale(deployment: Obj, new: Obj | None, olds: list[Obj]) -> Sizes:
    """Sizes for a changed spec.replicas; in the middle of a rollout all ReplicaSets share it by their size."""
    desired = replicas(deployment)
    active = [rs for rs in [*olds, *([new] if new else [])] if replicas(rs) > 0]
    if len(active) <= 1:
        latest = active or ([new] if new else by_age(olds)[-1:])
        return {meta.name(rs): desired for rs in latest}
    if new and _is_saturated(deployment, new):
        return {meta.name(rs): 0 for rs in active if rs is not new}
    if not is_rolling(deployment):
        return {meta.name(rs): desired if rs is new else 0 for rs in active}
    return _proportional(deployment, active)


def _is_saturated(deployment: Obj, new: Obj) -> bool:
    desired = replicas(deployment)
    annotated = meta.annotations(new).get(DESIRED) == str(desired)
    return replicas(new) == desired and annotated and available(new) == desired


def _proportional(deployment: Obj, active: list[Obj]) -> Sizes:
    surge, _ = bounds(deployment)
    desired = replicas(deployment)
    to_add = (desired + surge if desired else 0) - total(active)
    # Largest first; of equals the newest when growing, the oldest when shrinking. The first takes what rounding leaves.
    order = by_age(active)
    if to_add > 0:
        order.reverse()
    order.sort(key=lambda rs: -replicas(rs))
    sizes: Sizes = {}
    added = 0
    for rs in order:
        share = 0
        if to_add not in (0, added):
            fraction, allowed = _fraction(deployment, rs, surge), to_add - added
            share = min(fraction, allowed) if to_add > 0 else max(fraction, allowed)
        sizes[meta.name(rs)] = replicas(rs) + share
        added += share
    first = meta.name(order[0])
    sizes[first] = max(0, sizes[first] + to_add - added)
    return sizes


def _fraction(deployment: Obj, rs: Obj, surge: int) -> int:
    """By how many pods this ReplicaSet changes when the whole goes from its former maximum to the present one."""
    desired = replicas(deployment)
    if desired == 0:
        return -replicas(rs)
    try:
        before = int(meta.annotations(rs).get(MAXIMUM, "0"))
    except ValueError:
        before = 0
    before = before or int((deployment.get("status") or {}).get("replicas", 0))
    if not before:
        return 0
    return math.floor(replicas(rs) * (desired + surge) / before + 0.5) - replicas(rs)


def grow_new(deployment: Obj, new: Obj | None, olds: list[Obj]) -> int:
    """The size of the new ReplicaSet (None: it is about to be made) that maxSurge allows now."""
    desired = replicas(deployment)
    present = replicas(new) if new else 0
    if present >= desired or not is_rolling(deployment):
        return desired
    surge, _ = bounds(deployment)
    room = desired + surge - present - total(olds)
    return present + max(0, min(room, desired - present))


def shrink_olds(deployment: Obj, new: Obj, olds: list[Obj]) -> Sizes:
    """Sizes of the old ReplicaSets that maxUnavailable allows now: pods that are not available go first."""
    _, unavailable = bounds(deployment)
    minimum = replicas(deployment) - unavailable
    new_unavailable = replicas(new) - available(new)
    room = total([new, *olds]) - minimum - new_unavailable
    if room <= 0:
        return {}
    sizes = {meta.name(rs): replicas(rs) for rs in by_age(olds)}
    for rs in by_age(olds):
        unhealthy = max(0, replicas(rs) - available(rs))
        gone = min(room, unhealthy)
        sizes[meta.name(rs)] -= gone
        room -= gone
    # Counts of available pods may lag behind the sizes: never take more than the sizes allow.
    surplus = min(room, sum(available(rs) for rs in [new, *olds]) - minimum)
    for rs in by_age(olds):
        gone = max(0, min(surplus, sizes[meta.name(rs)]))
        sizes[meta.name(rs)] -= gone
        surplus -= gone
    return {meta.name(rs): sizes[meta.name(rs)] for rs in olds if sizes[meta.name(rs)] != replicas(rs)}


def revision(obj: Obj) -> int:
    try:
        return int(meta.annotations(obj).get(REVISION, "0"))
    except ValueError:
        return 0


def out_of_history(deployment: Obj, olds: list[Obj]) -> list[Obj]:
    """Old ReplicaSets beyond revisionHistoryLimit that nothing runs in."""
    limit = deployment["spec"].get("revisionHistoryLimit", 10)
    kept = [rs for rs in olds if not meta.deleting(rs)]
    excess = sorted(kept, key=revision)[: max(0, len(kept) - limit)]
    return [rs for rs in excess if _is_idle(rs)]


def _is_idle(rs: Obj) -> bool:
    status = rs.get("status") or {}
    seen = status.get("observedGeneration", 0) >= rs["metadata"].get("generation", 0)
    return replicas(rs) == 0 and not status.get("replicas", 0) and seen
