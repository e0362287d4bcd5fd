"""Which pods go first when a ReplicaSet shrinks. Pure.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-down-a-replicaset
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sampan.api import meta, pods
from sampan.api.meta import Obj

COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}
_LATEST = datetime.max.replace(tzinfo=UTC)


def deletion_order(candidates: Iterable[Obj], related: Iterable[Obj]) -> list[Obj]:
    """`candidates` sorted, first to delete first. `related`: the pods of all ReplicaSets of the same owner."""
    crowd = Counter(pods.node_name(p) for p in related if pods.is_ready(p))
    return sorted(candidates, key=lambda pod: _rank(pod, crowd))


def cost(pod: Obj) -> int:
    """The annotation's value; what is not an integer counts as 0."""
    try:
        return int(meta.annotations(pod).get(COST, "0"))
    except ValueError:
        return 0


def _rank(pod: Obj, crowd: Counter[str]) -> tuple[Any, ...]:
    status = pod.get("status") or {}
    ready = meta.condition(pod, "Ready")
    is_ready = ready is not None and ready.get("status") == "True"
    ready_since = _moment(ready.get("lastTransitionTime")) if ready and is_ready else _LATEST
    restarts = max((c.get("restartCount", 0) for c in status.get("containerStatuses") or ()), default=0)
    return (
        bool(pods.node_name(pod)),
        _PHASES.get(pods.phase(pod), 0),
        is_ready,
        cost(pod),
        -crowd[pods.node_name(pod)],
        -ready_since.timestamp(),
        -restarts,
        -_moment(pod["metadata"].get("creationTimestamp")).timestamp(),
        meta.name(pod),
    )


def _moment(text: str | None) -> datetime:
    return meta.parse_time(text) if text else _LATEST
